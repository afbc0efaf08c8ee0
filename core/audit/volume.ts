/**
 * A piece of the audit log: a journal of its own, in a folder of its own. One that is damaged is skipped and costs
 * the others nothing; one that is too old goes as a whole.
 */
import { readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type SignalboxError, toSignalboxError } from '../errors.ts'
import type { Journal, Position } from '../store/journal.ts'
import { Blocks } from './blocks.ts'
import { Chunk } from './chunk.ts'

/** Opens a journal in a folder. */
export type OpenJournal = (folder: string) => Promise<Journal>

/** Chunks of a volume are kept in memory while they are read; so many at once. */
const READ_AT_ONCE = 64
/** Records of a frame and their heads. */
const OVERHEAD = 40

export class Volume {
  readonly number: number
  readonly folder: string
  readonly blocks = new Blocks()
  bytes = 0
  records = 0
  from = Number.POSITIVE_INFINITY
  to = 0
  dropped = 0
  /** Why it cannot be read. */
  error: SignalboxError | undefined
  /** It was read, or could not be. */
  opened = false
  #journal: Journal | undefined
  #removed = false

  constructor(root: string, number: number) {
    this.number = number
    this.folder = join(root, folderName(number))
  }

  get removed(): boolean {
    return this.#removed
  }

  /**
   * Opens it and reads through it. One that cannot be read has its `error` set. `each` is told of every chunk.
   */
  async open(open: OpenJournal, each: (chunk: Chunk) => void = () => {}): Promise<void> {
    let journal: Journal | undefined
    try {
      journal = await open(this.folder)
      await journal.replay((bytes, position) => {
        // The bytes are the journal's own.
        const chunk = new Chunk(bytes)
        this.#count(chunk, position, bytes.length)
        each(chunk)
      })
      this.#journal = journal
    } catch (thrown) {
      this.error = toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE')
      await journal?.close()
      await this.#measure()
    }
    this.opened = true
  }

  /** What cannot be read takes room all the same, and goes when its files are too old. */
  async #measure(): Promise<void> {
    this.bytes = 0
    const names = await readdir(this.folder).catch(() => [])
    for (const name of names) {
      const { size, mtimeMs } = await stat(join(this.folder, name))
      this.bytes += size
      this.to = Math.max(this.to, mtimeMs)
    }
  }

  /** Appends chunks; resolves when they are on disk. */
  async append(chunks: readonly Buffer[]): Promise<void> {
    const positions = await this.#journal!.append(chunks)
    for (const [i, bytes] of chunks.entries()) this.#count(new Chunk(bytes), positions[i]!, bytes.length)
  }

  /** Chunks at these positions, with undefined for each that is damaged. */
  async *read(
    positions: readonly Position[],
  ): AsyncGenerator<{ position: Position; chunk: Chunk | undefined }> {
    for (let i = 0; i < positions.length; i += READ_AT_ONCE) {
      const some = positions.slice(i, i + READ_AT_ONCE)
      const found = await this.#readAll(some)
      for (const [n, bytes] of found.entries()) {
        yield { position: some[n]!, chunk: bytes === undefined ? undefined : chunkOf(bytes) }
      }
    }
  }

  async close(): Promise<void> {
    await this.#journal?.close()
  }

  /** Frees its room on the disk. What is being read from it ends early. */
  async remove(): Promise<void> {
    this.#removed = true
    await this.close()
    await rm(this.folder, { recursive: true, force: true })
  }

  /** One that is damaged must not hide those beside it. */
  async #readAll(positions: readonly Position[]): Promise<(Buffer | undefined)[]> {
    if (this.#removed || !this.#journal) return []
    try {
      return await this.#journal.read(positions)
    } catch {
      const found: (Buffer | undefined)[] = []
      for (const position of positions) {
        if (this.#removed) return found
        found.push(await this.#journal.read([position]).then(single, () => undefined))
      }
      return found
    }
  }

  #count(chunk: Chunk, position: Position, bytes: number): void {
    const { from, to, count, dropped } = chunk.head
    this.blocks.add(chunk, position, bytes)
    this.bytes += bytes + OVERHEAD
    this.records += count
    this.dropped += dropped
    this.from = Math.min(this.from, from)
    this.to = Math.max(this.to, to)
  }
}

/** Number of the volume in a folder of this name; undefined when it is the name of something else. */
export function volumeNumber(name: string): number | undefined {
  const match = /^volume-(\d{8,15})$/.exec(name)
  return match ? Number(match[1]) : undefined
}

function folderName(number: number): string {
  return `volume-${String(number).padStart(8, '0')}`
}

function chunkOf(bytes: Buffer): Chunk | undefined {
  try {
    return new Chunk(bytes)
  } catch {
    return undefined
  }
}

function single(buffers: Buffer[]): Buffer | undefined {
  return buffers[0]
}
