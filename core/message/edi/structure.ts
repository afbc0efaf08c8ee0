/**
 * Segment groups (EDIFACT) and loops (X12): what belongs to what. A structure is written as text, in the order of
 * the segment table of the message:
 *
 *     BGM DTM* parties(NAD LOC* references(RFF DTM*)) lines(LIN QTY* prices(PRI CUX)) UNS=S MOA*
 *
 * `TAG` may be there once, `TAG*` any number of times. `name(TAG ...)` is a group that may repeat and begins with
 * its first segment; where that is written `TAG?`, the group may also begin with the next one. `TAG=VALUE` is
 * written with that value when it is missing.
 */
import { SignalboxError } from '../../errors.ts'
import { isRecord, own, unencodable } from './errors.ts'
import type { Path } from './syntax.ts'

const TOKEN = /\s*(?:([a-z][A-Za-z0-9]*)\(|([A-Z][A-Z0-9]{1,2})(\*|\?|=[A-Z0-9]+)?(?=[\s)]|$)|(\)))\s*/y
const MAX_DEPTH = 20

interface Part {
  /** The member that holds it: the tag, or the name of the group. */
  name: string
  repeats: boolean
  /** A segment that may be missing at the start of a group. */
  optional: boolean
  group?: Structure
  fill?: string
}

/** A compiled structure. */
export interface Structure {
  readonly parts: readonly Part[]
  /** For each tag, the parts that it can begin, in order. */
  readonly places: ReadonlyMap<string, readonly number[]>
  /** The tags that a group can begin with, each with its own place in the group. */
  readonly openers: ReadonlyMap<string, number>
  /** The members that a content may have. */
  readonly names: ReadonlySet<string>
  /** Levels of groups, 1 for a structure without any. */
  readonly depth: number
}

const compiled = new Map<string, Structure>()

/** Compiles a structure, once for each text. Throws SIGNALBOX_OPTIONS_INVALID. */
export function compileStructure(text: string): Structure {
  let structure = compiled.get(text)
  if (!structure) {
    structure = new Compiler(text).run()
    // Structures are configuration; the bound only keeps a program that makes them up from filling the memory.
    if (compiled.size >= 1000) compiled.clear()
    compiled.set(text, structure)
  }
  return structure
}

class Compiler {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  run(): Structure {
    const structure = this.#parts(1)
    if (this.#at < this.#text.length) throw this.#wrong('has a ) too many')
    return structure
  }

  #parts(level: number): Structure {
    if (level > MAX_DEPTH) throw this.#wrong(`is nested deeper than ${MAX_DEPTH} levels`)
    const parts: Part[] = []
    while (this.#at < this.#text.length) {
      TOKEN.lastIndex = this.#at
      const token = TOKEN.exec(this.#text)
      if (!token) throw this.#wrong('cannot be read')
      const [, name, tag, mark = '', close] = token
      if (close !== undefined && level === 1) break
      this.#at = TOKEN.lastIndex
      if (close !== undefined) return this.#finish(parts)
      if (tag !== undefined) parts.push(segmentPart(tag, mark))
      else parts.push({ name: name!, repeats: true, optional: false, group: this.#parts(level + 1) })
      if (name === 'constructor') throw this.#wrong('has a name that is not allowed')
    }
    if (level > 1) throw this.#wrong('lacks a )')
    return this.#finish(parts)
  }

  #finish(parts: Part[]): Structure {
    if (parts.length === 0) throw this.#wrong('has a group without segments')
    const names = new Map<string, boolean>()
    for (const { name, group } of parts) {
      const seen = names.get(name)
      if (seen !== undefined && (group !== undefined || seen))
        throw this.#wrong(`has the group ${name} twice`)
      if (seen !== undefined) throw this.#wrong(`has the segment ${name} twice on one level`)
      names.set(name, group !== undefined)
    }
    return structureOf(parts)
  }

  #wrong(why: string): SignalboxError {
    const column = this.#at + 1
    return new SignalboxError('SIGNALBOX_OPTIONS_INVALID', `structure: it ${why}, at character ${column}`, {
      details: { column },
    })
  }
}

function segmentPart(tag: string, mark: string): Part {
  const part: Part = { name: tag, repeats: mark === '*', optional: mark === '?' }
  if (mark.startsWith('=')) part.fill = mark.slice(1)
  return part
}

function structureOf(parts: Part[]): Structure {
  const places = new Map<string, number[]>()
  let depth = 1
  parts.forEach((part, i) => {
    for (const tag of part.group ? part.group.openers.keys() : [part.name]) {
      const list = places.get(tag)
      if (list) list.push(i)
      else places.set(tag, [i])
    }
    depth = Math.max(depth, 1 + (part.group?.depth ?? 0))
  })
  const openers = new Map<string, number>()
  for (const [i, part] of parts.entries()) {
    if (part.group) break
    openers.set(part.name, i)
    if (!part.optional) break
  }
  return { parts, places, openers, names: new Set(parts.map(part => part.name)), depth }
}

/** Segments and groups by name; segments that may repeat and groups are lists. */
export type Content = { [name: string]: unknown }

interface Frame {
  structure: Structure
  node: Content
  /** The part that the group began with; those before it belong to the next one. */
  opener: number
  /** The last part that was reached. */
  index: number
  group: Part | undefined
}

/** Puts segments, one after the other, to the place that the structure has for them. */
export class Placer {
  readonly content: Content = {}
  readonly #open: Frame[]

  constructor(structure: Structure) {
    this.#open = [{ structure, node: this.content, opener: -1, index: 0, group: undefined }]
  }

  /**
   * Returns the part that the segment belongs to, or undefined when it has no place. The innermost open group that
   * can have the segment gets it: at a later place when there is one, else at one that was passed already, because
   * many senders do not keep the order.
   */
  place(tag: string, value: unknown): Part | undefined {
    for (let depth = this.#open.length - 1; depth >= 0; depth--) {
      const frame = this.#open[depth]!
      const index = placeIn(frame, tag)
      if (index === undefined) continue
      const part = frame.structure.parts[index]!
      this.#open.length = depth + 1
      frame.index = Math.max(frame.index, index)
      if (part.group) return this.#openGroup(frame, part, tag, value)
      put(frame.node, part, value)
      return part
    }
    return undefined
  }

  #openGroup(parent: Frame, part: Part, tag: string, value: unknown): Part {
    const node: Content = {}
    put(parent.node, part, node)
    const structure = part.group!
    const index = structure.openers.get(tag)!
    const opener = structure.parts[index]!
    put(node, opener, value)
    this.#open.push({ structure, node, opener: index, index, group: part })
    return opener
  }

  /** The group that the last segment was put into; undefined on the outermost level. */
  get group(): Part | undefined {
    return this.#open.at(-1)!.group
  }
}

function placeIn({ structure, node, opener, index }: Frame, tag: string): number | undefined {
  const places = structure.places.get(tag)
  if (places === undefined) return undefined
  let passed: number | undefined
  for (let i = 0; i < places.length; i++) {
    const place = places[i]!
    const part = structure.parts[place]!
    if (place < opener || (!part.repeats && Object.hasOwn(node, part.name))) continue
    if (place >= index) return place
    passed ??= place
  }
  return passed
}

function put(node: Content, part: Part, value: unknown): void {
  if (!part.repeats) node[part.name] = value
  else if (Object.hasOwn(node, part.name)) (node[part.name] as unknown[]).push(value)
  else node[part.name] = [value]
}

function opens(structure: Structure, content: Record<string, unknown>): boolean {
  for (const tag of structure.openers.keys()) if (own(content, tag) !== undefined) return true
  return false
}

/** Gives the segments of a content in the order of its structure. Throws SIGNALBOX_CODEC_UNENCODABLE. */
export class Flattener {
  readonly #format: string
  readonly #emit: (tag: string, value: unknown, path: Path) => void
  readonly #check: Placer

  constructor(format: string, structure: Structure, emit: (tag: string, value: unknown, path: Path) => void) {
    this.#format = format
    this.#emit = emit
    this.#check = new Placer(structure)
  }

  run(structure: Structure, content: unknown, path: Path, group?: Part): void {
    if (!isRecord(content))
      throw unencodable(this.#format, path(), 'must be an object of segments and groups')
    for (const name of Object.keys(content)) {
      if (structure.names.has(name)) continue
      throw unencodable(this.#format, `${path()}.${name}`, 'has no place in the structure of the message')
    }
    if (group && !opens(structure, content)) {
      throw unencodable(this.#format, path(), `lacks ${[...structure.openers.keys()].join(' or ')}`)
    }
    for (const part of structure.parts) {
      if (part.fill !== undefined || Object.hasOwn(content, part.name)) this.#part(part, content, path, group)
    }
  }

  #part(part: Part, content: Record<string, unknown>, path: Path, group: Part | undefined): void {
    const value = own(content, part.name) ?? part.fill
    if (value === undefined || value === null) return
    if (typeof value === 'string' && part.fill === value) {
      this.#segment(part, [[value]], path, group)
      return
    }
    if (!part.repeats) {
      this.#segment(part, value, () => `${path()}.${part.name}`, group)
      return
    }
    if (!Array.isArray(value)) throw unencodable(this.#format, `${path()}.${part.name}`, 'must be a list')
    for (let i = 0; i < value.length; i++) {
      const here = () => `${path()}.${part.name}[${i}]`
      if (part.group) this.run(part.group, value[i], here, part)
      else this.#segment(part, value[i], here, group)
    }
  }

  /** Who reads the segments must find them in the same places, or data would move from one group to another. */
  #segment(part: Part, value: unknown, path: Path, group: Part | undefined): void {
    const placed = this.#check.place(part.name, undefined)
    if (placed !== part || this.#check.group !== group) {
      throw unencodable(
        this.#format,
        path(),
        'would be read in another place: what comes before it is missing',
      )
    }
    this.#emit(part.name, value, path)
  }
}
