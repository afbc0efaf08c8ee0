/**
 * Writes the JavaScript of a declared mapping. Names and constants get there as JSON texts or as entries of the pool
 * `K`; nothing of the mapping is ever code.
 */
import { nearest } from '../../schema.ts'
import { Code, isPlain, text } from './code.ts'
import {
  type Argument,
  type Fields,
  type FunctionStep,
  type MappingDefinition,
  RULE_KEYS,
  type Rule,
  type RuleObject,
} from './definition.ts'
import { type Context, PathEmitter, sourceOf } from './emit-paths.ts'
import type { FunctionDefinition, MappingFunction } from './functions.ts'
import { type Path, PathError, parseCondition, parsePath, parseTarget } from './path.ts'

/** Where in the definition something is, from its root. */
export type Place = readonly (string | number)[]

/** Something that is wrong with a definition. */
export interface Issue {
  place: Place
  message: string
}

export interface Emitted {
  /** The body of `(R, K, P, O) => (c0, extra, problems, absent, trace) => output`. */
  code: string
  pool: unknown[]
  issues: Issue[]
}

export interface EmitOptions {
  functions: Readonly<Record<string, FunctionDefinition>>
  tables: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** What the program notes beside what it makes: nothing, optional values that are missing, or sources. */
  notes: 'nothing' | 'absent' | 'sources'
}

/** Targets as a tree: dots in their names make objects in objects. */
type Tree = Map<string, Tree | { rule: Rule; place: Place }>

const MAX_DEPTH = 60

export function emitMapping(definition: MappingDefinition, options: EmitOptions): Emitted {
  return new Emitter(options, definition.tables ?? {}).program(definition)
}

class Emitter {
  readonly #options: EmitOptions
  readonly #tables: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  readonly #issues: Issue[] = []
  readonly #code = new Code()
  readonly #paths = new PathEmitter(this.#code)
  #depth = 0

  constructor(options: EmitOptions, tables: MappingDefinition['tables'] & {}) {
    this.#options = options
    this.#tables = { ...options.tables, ...tables }
  }

  program(definition: MappingDefinition): Emitted {
    const root: Context = { js: 'c0', plain: this.#plain('c0'), source: "''", outer: undefined }
    let context = root
    if (definition.from !== undefined) {
      const path = this.#parse(definition.from, ['from'], parsePath)
      if (path !== undefined) {
        const js = this.#code.let(this.#paths.path(path, root))
        this.#code.lines.push(`if (Array.isArray(${js})) ${js} = ${js}[0] ?? undefined`)
        context = { js, plain: this.#plain(js), source: sourceOf(path, root), outer: root }
      }
    }
    const output = this.#object(this.#tree(definition.map, ['map']), context, "''", false)
    return {
      code: this.#code.program('c0, extra, problems, absent, trace', output),
      pool: this.#code.pool,
      issues: this.#issues,
    }
  }

  // Objects and lists

  #tree(fields: unknown, place: Place): Tree {
    const tree: Tree = new Map()
    if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
      this.#issue(place, 'must be an object of targets and rules')
      return tree
    }
    for (const [target, rule] of Object.entries(fields as Fields)) {
      const names = this.#parse(target, [...place, target], parseTarget)
      if (names !== undefined) this.#plant(tree, names, { rule, place: [...place, target] })
    }
    return tree
  }

  #plant(tree: Tree, names: readonly string[], leaf: { rule: Rule; place: Place }): void {
    let at = tree
    for (const name of names.slice(0, -1)) {
      let next = at.get(name)
      if (next === undefined) {
        next = new Map()
        at.set(name, next)
      }
      if (!(next instanceof Map)) {
        this.#issue(leaf.place, `'${name}' is already mapped as a whole`)
        return
      }
      at = next
    }
    const last = names.at(-1)!
    if (at.has(last)) this.#issue(leaf.place, `'${last}' is mapped twice`)
    else at.set(last, leaf)
  }

  /** An object of what has a value; undefined when nothing has, if it `mayBeMissing`. */
  #object(tree: Tree, context: Context, target: string, mayBeMissing: boolean): string {
    const values = Array.from(tree, ([name, node]): [string, string] => {
      const inner = `${target} + ${text(`/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)}`
      if (node instanceof Map) return [name, this.#object(node, context, inner, true)]
      return [name, this.#rule(node.rule, context, inner, node.place)]
    })
    const object = this.#code.fresh()
    if (values.length === 0) {
      this.#code.lines.push(`const ${object} = ${mayBeMissing ? 'undefined' : '{}'}`)
      return object
    }
    const all = values.map(([, value]) => `${value} !== undefined`).join(' && ')
    const none = values.map(([, value]) => `${value} === undefined`).join(' && ')
    this.#code.lines.push(
      `let ${object}`,
      // With everything there, which is usual, it is made at once.
      `if (${all}) ${object} = { ${values.map(([name, value]) => `${text(name)}: ${value}`).join(', ')} }`,
      mayBeMissing ? `else if (${none}) ${object} = undefined` : '',
      `else {`,
      `${object} = {}`,
      ...values.map(([name, value]) => `if (${value} !== undefined) ${object}[${text(name)}] = ${value}`),
      `}`,
    )
    return object
  }

  #list(rule: RuleObject, path: Path, context: Context, target: string, place: Place): string {
    const found = this.#code.let(this.#paths.path(path, context))
    const result = this.#code.let('[]')
    const items = this.#code.fresh()
    const i = this.#code.fresh()
    const item = this.#code.fresh()
    const inner: Context = {
      js: item,
      plain: this.#code.fresh(),
      source: `${sourceOf(path, context)} + '[' + ${i} + ']'`,
      outer: context,
    }
    this.#code.lines.push(
      `const ${items} = Array.isArray(${found}) ? ${found} : R.listOf(${found})`,
      `for (let ${i} = 0; ${i} < ${items}.length; ${i}++) {`,
      `const ${item} = ${items}[${i}] ?? undefined`,
      `if (${item} === undefined) continue`,
      `const ${inner.plain} = ${isPlain(item)}`,
    )
    if (rule.where !== undefined) {
      const condition = this.#parse(rule.where, [...place, 'where'], parseCondition)
      if (condition !== undefined) {
        const holds = this.#code.let(this.#paths.condition(condition, inner))
        this.#code.lines.push(`if (!${holds}) continue`)
      }
    }
    const itemTarget = `${target} + '/' + ${result}.length`
    const value =
      rule.item === undefined
        ? this.#object(this.#tree(rule.map ?? {}, [...place, 'map']), inner, itemTarget, false)
        : this.#rule(rule.item, inner, itemTarget, [...place, 'item'])
    this.#code.lines.push(`if (${value} !== undefined) ${result}.push(${value})`, '}')
    return result
  }

  // Rules

  /** Writes how a value is made; returns the variable that has it, or undefined where there is none. */
  #rule(rule: Rule, context: Context, target: string, place: Place): string {
    const object = this.#checked(rule, place)
    if (object === undefined) return 'undefined'
    if (++this.#depth > MAX_DEPTH) {
      this.#issue(place, `rules are nested deeper than ${MAX_DEPTH} levels`)
      return 'undefined'
    }
    const value =
      object.when === undefined
        ? this.#value(object, context, target, place)
        : this.#when(object, context, target, place)
    this.#depth--
    return value
  }

  #when(rule: RuleObject, context: Context, target: string, place: Place): string {
    const condition = this.#parse(rule.when!, [...place, 'when'], parseCondition)
    if (condition === undefined) return 'undefined'
    const holds = this.#code.let(this.#paths.condition(condition, context))
    const result = this.#code.let('undefined')
    this.#code.lines.push(`if (${holds}) {`)
    this.#code.lines.push(`${result} = ${this.#value(rule, context, target, place)}`)
    if (rule.else !== undefined) {
      this.#code.lines.push('} else {')
      this.#code.lines.push(`${result} = ${this.#rule(rule.else, context, target, [...place, 'else'])}`)
    }
    this.#code.lines.push('}')
    return result
  }

  #value(rule: RuleObject, context: Context, target: string, place: Place): string {
    // An object that is empty since what it requires is missing is not itself missing.
    const before = rule.required && rule.map !== undefined ? this.#code.let('problems.length') : undefined
    const { value, source } = this.#start(rule, context, target, place)
    const steps = rule.fn === undefined ? [] : Array.isArray(rule.fn) ? rule.fn : [rule.fn]
    const refused = steps.length > 0 ? this.#code.let('false') : undefined
    if (refused !== undefined)
      this.#pipeline(steps, value, refused, source, context, target, [...place, 'fn'])
    if (rule.lookup !== undefined) {
      const table = this.#table(rule.lookup, [...place, 'lookup'])
      this.#code.lines.push(
        `if (${value} !== undefined) ${value} = typeof ${value} === 'string' ? ${table}.get(${value}) : R.lookup(${table}, ${value})`,
      )
    }
    if (rule.default !== undefined) {
      this.#code.lines.push(`if (${value} === undefined) ${value} = ${this.#literal(rule.default)}`)
    }
    const excused = [
      ...(refused === undefined ? [] : [refused]),
      ...(before === undefined ? [] : [`problems.length > ${before}`]),
    ]
    this.#report(rule, value, excused, source, target)
    return value
  }

  /** What a rule says about a value that is not there, and about where one came from. */
  #report(
    rule: RuleObject,
    value: string,
    excused: readonly string[],
    source: string | undefined,
    target: string,
  ): void {
    const from = source ?? "''"
    const isMissing = [`${value} === undefined`, ...excused.map(excuse => `!(${excuse})`)].join(' && ')
    const isEmptyList = rule.each !== undefined && rule.fn === undefined ? ` || ${value}?.length === 0` : ''
    if (rule.required)
      this.#code.lines.push(`if (${isMissing}${isEmptyList}) R.missing(problems, ${from}, ${target})`)
    else if (this.#options.notes === 'absent' && source !== undefined) {
      this.#code.lines.push(`if (${isMissing}) R.missing(absent, ${from}, ${target})`)
    }
    if (this.#options.notes === 'sources' && source !== undefined) {
      this.#code.lines.push(`if (${value} !== undefined) trace.set(${target}, ${from})`)
    }
  }

  /** The value before any function, in a variable that may be changed, and its source in reports. */
  #start(
    rule: RuleObject,
    context: Context,
    target: string,
    place: Place,
  ): { value: string; source?: string } {
    if (rule.each !== undefined) {
      const path = this.#parse(rule.each, [...place, 'each'], parsePath)
      if (path === undefined) return { value: this.#code.let('undefined') }
      return { value: this.#list(rule, path, context, target, place), source: sourceOf(path, context) }
    }
    if (rule.from !== undefined) return this.#from(rule, context, target, place)
    if (rule.map !== undefined) {
      const object = this.#object(this.#tree(rule.map, [...place, 'map']), context, target, true)
      return { value: this.#code.let(object) }
    }
    return { value: this.#code.let(rule.value === undefined ? 'undefined' : this.#literal(rule.value)) }
  }

  #from(rule: RuleObject, context: Context, target: string, place: Place): { value: string; source: string } {
    const texts = typeof rule.from === 'string' ? [rule.from] : rule.from!
    const paths = texts.flatMap((from, i) => {
      return (
        this.#parse(
          from,
          typeof rule.from === 'string' ? [...place, 'from'] : [...place, 'from', i],
          parsePath,
        ) ?? []
      )
    })
    const first = paths[0]
    if (first === undefined) return { value: this.#code.let('undefined'), source: "''" }
    const sources = paths.map(path => sourceOf(path, context))
    const value = this.#code.let(this.#paths.path(first, context))
    let source = sources[0]!
    if (paths.length > 1) {
      const which = this.#code.let('0')
      paths.slice(1).forEach((path, i) => {
        this.#code.lines.push(`if (${value} === undefined) {`)
        const other = this.#code.let(this.#paths.path(path, context))
        this.#code.lines.push(`if (${other} !== undefined) { ${value} = ${other}; ${which} = ${i + 1} }`, '}')
      })
      source = `[${sources.join(', ')}][${which}]`
    }
    if (rule.map === undefined) return { value, source }
    this.#code.lines.push(`if (Array.isArray(${value})) ${value} = ${value}[0] ?? undefined`)
    const result = this.#code.let('undefined')
    this.#code.lines.push(`if (${value} !== undefined) {`)
    const inner: Context = { js: value, plain: this.#plain(value), source, outer: context }
    const object = this.#object(this.#tree(rule.map, [...place, 'map']), inner, target, true)
    this.#code.lines.push(`${result} = ${object}`, '}')
    return { value: result, source }
  }

  #checked(rule: Rule, place: Place): RuleObject | undefined {
    if (typeof rule === 'string') return { from: rule }
    if (typeof rule !== 'object' || rule === null || Array.isArray(rule)) {
      this.#issue(place, 'must be a path or an object with a rule; write a constant as { value: ... }')
      return undefined
    }
    for (const [key, value] of Object.entries(rule)) {
      if (!(RULE_KEYS as readonly string[]).includes(key)) {
        const near = nearest(key, RULE_KEYS)
        this.#issue(
          [...place, key],
          `'${key}' means nothing here${near === undefined ? '' : `; did you mean '${near}'?`}`,
        )
        return undefined
      }
      const expected = KINDS[key]
      if (expected !== undefined && !expected.test(value)) {
        this.#issue([...place, key], `must be ${expected.what}`)
        return undefined
      }
    }
    const starts = (['from', 'each', 'value'] as const).filter(key => rule[key] !== undefined)
    if (starts.length > 1) this.#issue(place, `has both ${starts.join(' and ')}; there can be one`)
    if (rule.each === undefined && (rule.where !== undefined || rule.item !== undefined)) {
      this.#issue(place, 'has where or item, but no each')
    }
    if (rule.each !== undefined && (rule.item === undefined) === (rule.map === undefined)) {
      this.#issue(place, 'a list needs either map or item')
    }
    if (rule.value !== undefined && rule.map !== undefined) this.#issue(place, 'has both value and map')
    if (
      starts.length === 0 &&
      rule.map === undefined &&
      rule.fn === undefined &&
      rule.default === undefined
    ) {
      this.#issue(place, 'says nothing about where the value comes from: give from, value, map, each or fn')
    }
    return rule
  }

  // Functions

  #pipeline(
    steps: readonly FunctionStep[],
    value: string,
    refused: string,
    source: string | undefined,
    context: Context,
    target: string,
    place: Place,
  ): void {
    const calls = steps.map((step, i) => this.#step(step, value, context, target, [...place, i]))
    const guarded = calls.map(({ code, withoutValue }) => {
      return withoutValue
        ? `${value} = ${code} ?? undefined`
        : `if (${value} !== undefined) ${value} = ${code} ?? undefined`
    })
    this.#code.lines.push(
      'try {',
      ...guarded,
      '} catch (error) {',
      `${refused} = true`,
      `R.refused(problems, ${source ?? "''"}, ${target}, error)`,
      `${value} = undefined`,
      '}',
    )
  }

  #step(
    step: FunctionStep,
    value: string,
    context: Context,
    target: string,
    place: Place,
  ): { code: string; withoutValue: boolean } {
    const nothing = { code: value, withoutValue: false }
    const entry = typeof step === 'string' ? ([step, []] as const) : this.#entry(step, place)
    if (entry === undefined) return nothing
    const [name, given] = entry
    const definition = Object.hasOwn(this.#options.functions, name)
      ? this.#options.functions[name]!
      : undefined
    if (definition === undefined) {
      const near = nearest(name, Object.keys(this.#options.functions))
      this.#issue(
        place,
        `there is no function '${name}'${near === undefined ? '' : `; did you mean '${near}'?`}`,
      )
      return nothing
    }
    const args = given as readonly Argument[]
    if (args.length < definition.required || (!definition.variadic && args.length > definition.args.length)) {
      const wanted =
        definition.args.length === 0 && !definition.variadic
          ? 'none'
          : definition.args.join(', ') || 'at least one'
      this.#issue(place, `'${name}' takes other arguments: ${wanted}`)
      return nothing
    }
    const code =
      definition.prepare === undefined
        ? this.#computed(definition.call!, args, value, context, target, place)
        : this.#prepared(name, definition.prepare, args, value, place)
    return { code: code ?? value, withoutValue: definition.withoutValue ?? false }
  }

  #entry(step: unknown, place: Place): readonly [string, readonly unknown[]] | undefined {
    const entries = typeof step === 'object' && step !== null ? Object.entries(step) : []
    if (entries.length !== 1) {
      this.#issue(place, 'must be the name of a function, or one name with its arguments')
      return undefined
    }
    const [name, args] = entries[0]!
    return [name, Array.isArray(args) ? args : [args]]
  }

  #prepared(
    name: string,
    prepare: (...args: unknown[]) => MappingFunction,
    args: readonly unknown[],
    value: string,
    place: Place,
  ): string | undefined {
    if (args.some(arg => typeof arg === 'object' && arg !== null && !Array.isArray(arg))) {
      this.#issue(place, `the arguments of '${name}' must be constants`)
      return undefined
    }
    try {
      return `${this.#code.constant(prepare(...args))}(${value})`
    } catch (error) {
      this.#issue(place, `'${name}': ${(error as Error).message}`)
      return undefined
    }
  }

  #computed(
    call: MappingFunction,
    args: readonly unknown[],
    value: string,
    context: Context,
    target: string,
    place: Place,
  ): string {
    const values = args.map((arg, i) => {
      if (typeof arg === 'object' && arg !== null && !Array.isArray(arg)) {
        return this.#rule(arg as RuleObject, context, target, [...place, i])
      }
      return this.#literal(arg)
    })
    return `${this.#code.constant(call)}(${[value, ...values].join(', ')})`
  }

  #table(lookup: unknown, place: Place): string {
    let table = lookup
    if (typeof lookup === 'string') {
      if (!Object.hasOwn(this.#tables, lookup)) {
        const near = nearest(lookup, Object.keys(this.#tables))
        this.#issue(
          place,
          `there is no table '${lookup}'${near === undefined ? '' : `; did you mean '${near}'?`}`,
        )
        return this.#code.constant(new Map())
      }
      table = this.#tables[lookup]
    }
    if (typeof table !== 'object' || table === null || Array.isArray(table)) {
      this.#issue(place, 'must be the name of a table, or an object of keys and values')
      return this.#code.constant(new Map())
    }
    return this.#code.constant(new Map(Object.entries(table)))
  }

  // Code

  #plain(value: string): string {
    return this.#code.let(isPlain(value))
  }

  #parse<T>(source: unknown, place: Place, parse: (text: string) => T): T | undefined {
    if (typeof source !== 'string') {
      this.#issue(place, 'must be a text')
      return undefined
    }
    try {
      return parse(source)
    } catch (error) {
      if (!(error instanceof PathError)) throw error
      this.#issue(place, `'${source.slice(0, 80)}', character ${error.at + 1}: ${error.message}`)
      return undefined
    }
  }

  #issue(place: Place, message: string): void {
    this.#issues.push({ place, message })
  }

  #literal(value: unknown): string {
    if (typeof value !== 'object' || value === null) return value === undefined ? 'undefined' : text(value)
    return `structuredClone(${this.#code.constant(value)})`
  }
}

const isText = (value: unknown) => typeof value === 'string'

/** What the value of a key of a rule must be. */
const KINDS: Readonly<Record<string, { what: string; test: (value: unknown) => boolean }>> = {
  from: {
    what: 'a path or a list of paths',
    test: value => isText(value) || (Array.isArray(value) && value.length > 0 && value.every(isText)),
  },
  each: { what: 'a path', test: isText },
  where: { what: 'a condition', test: isText },
  when: { what: 'a condition', test: isText },
  required: { what: 'true or false', test: value => typeof value === 'boolean' },
}
