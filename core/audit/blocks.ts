/** What of a volume of the audit log is kept in memory: of some hundred records at a time, what may be in them. */
import type { Position } from '../store/journal.ts'
import type { Chunk } from './chunk.ts'
import { Bloom } from './hash.ts'

/** A block is closed when its chunks have so many bytes. */
const BLOCK_BYTES = 64 * 1024
const MAX_CHUNKS = 512

/** What every record that is looked for has. */
export interface Wanted {
  from: number
  to: number
  /** Bit for each kind; any of them. */
  kinds: number
  errorsOnly: boolean
  /** Hashes of the cid and of texts. */
  hashes: readonly number[]
}

/** Chunks that lie beside each other. */
export class Block {
  readonly positions: Position[] = []
  from = Number.POSITIVE_INFINITY
  to = 0
  bytes = 0
  records = 0
  #kinds = 0
  #errors = false
  #open: Set<number> | undefined = new Set()
  #closed: Bloom | undefined

  get full(): boolean {
    return this.bytes >= BLOCK_BYTES || this.positions.length >= MAX_CHUNKS
  }

  add(chunk: Chunk, position: Position, bytes: number): void {
    const { from, to, kinds, errors, count } = chunk.head
    this.positions.push(position)
    this.from = Math.min(this.from, from)
    this.to = Math.max(this.to, to)
    this.bytes += bytes
    this.records += count
    this.#kinds |= kinds
    this.#errors ||= errors
    for (const hash of chunk.hashes()) this.#open!.add(hash)
  }

  /** Nothing more comes: about ten bits for each name and cid stay. */
  close(): void {
    if (this.#open === undefined) return
    this.#closed = new Bloom(this.#open)
    this.#open = undefined
  }

  /** False: surely nothing of what is wanted is in it. */
  mayHave(wanted: Wanted): boolean {
    if (this.from > wanted.to || this.to < wanted.from) return false
    if ((this.#kinds & wanted.kinds) === 0) return false
    if (wanted.errorsOnly && !this.#errors) return false
    return wanted.hashes.every(hash => this.#open?.has(hash) ?? this.#closed!.mayHave(hash))
  }
}

/** The blocks of a volume, oldest first. */
export class Blocks {
  readonly list: Block[] = []

  add(chunk: Chunk, position: Position, bytes: number): void {
    let block = this.list.at(-1)
    if (block === undefined || block.full) {
      block?.close()
      block = new Block()
      this.list.push(block)
    }
    block.add(chunk, position, bytes)
  }

  /** The block that holds a position. */
  at(position: Position): Block | undefined {
    return this.list.find(({ positions }) => positions.includes(position))
  }
}
