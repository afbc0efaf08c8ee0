/**
 * The chain of administrative acts: append-only, each entry bound to the one before by its hash, so that a change,
 * a removal or another order is found.
 */
import { createHash, createHmac } from 'node:crypto'
import { type Clock, systemClock } from '../clock.ts'
import { SignalboxError } from '../errors.ts'
import { redact } from '../telemetry/redact.ts'
import { canonicalJson } from './canonical.ts'

/** What somebody did. */
export interface Act {
  /** The identity, e.g. `admin-token/alice`. */
  who: string
  /** The permission it took, e.g. `resource.write`. */
  what: string
  /** What it was done to, e.g. `channel/http/public`. */
  target: string
  /** The object before and after, plain data; undefined when there was none. */
  before?: unknown
  after?: unknown
  /** `ok`, `denied` or the code of the error. */
  result: string
  /** IP address the act came from. */
  remoteAddress?: string
  /** JSON pointers of the secrets in `before` and `after`, from the schema of the resource. */
  secretPointers?: readonly string[]
}

/** One entry as it is stored. `before` and `after` have their secrets masked. */
export interface ChainEntry {
  /** 1, 2, 3 ... without a gap. */
  seq: number
  /** ISO 8601 in UTC. */
  at: string
  who: string
  what: string
  target: string
  before: unknown
  after: unknown
  result: string
  remoteAddress: string | null
  /** The hash of the entry before; 64 zeros for the first. */
  previousHash: string
  hash: string
}

/** Where entries are kept. */
export interface ActLog {
  /**
   * Stores an entry durably. Resolves with false, storing nothing, when an entry with its `seq` is there
   * already: another node was faster.
   */
  append(entry: ChainEntry): Promise<boolean>
  last(): Promise<ChainEntry | undefined>
  /** Entries in the order of `seq`, beginning with `from`. */
  read(from: number): AsyncIterable<ChainEntry>
}

/** A point of the chain, to be kept outside of the store: with it a cut-off end is found too. */
export interface ChainHead {
  seq: number
  hash: string
}

/** What {@link AuditChain.verify} found. */
export type ChainReport =
  | { ok: true; entries: number; head: ChainHead }
  | { ok: false; seq: number; reason: 'changed' | 'missing' | 'unlinked' | 'malformed' }

export interface ChainOptions {
  clock?: Clock
  /**
   * Makes the hashes HMAC-SHA-256 under this key: then who can write the store but has not the key cannot make
   * the chain anew either. Default: plain SHA-256, which finds mistakes and clumsy hands only.
   */
  key?: Uint8Array
  /** Longest `before` or `after`, in characters of JSON; a longer one is replaced by its hash. Default 65,536. */
  maxChars?: number
}

type Described = Omit<ChainEntry, 'seq' | 'at' | 'previousHash' | 'hash'>

const FIRST: ChainHead = { seq: 0, hash: '0'.repeat(64) }
const MAX_RACES = 32

/** Appends acts and verifies them. Appends of one chain run one after the other, in the order of the calls. */
export class AuditChain {
  readonly #log: ActLog
  readonly #clock: Clock
  readonly #key: Uint8Array | undefined
  readonly #maxChars: number
  #last: Promise<unknown> = Promise.resolve()

  constructor(log: ActLog, options: ChainOptions = {}) {
    this.#log = log
    this.#clock = options.clock ?? systemClock
    this.#key = options.key
    this.#maxChars = options.maxChars ?? 65_536
  }

  /**
   * Appends an act; resolves with its entry when the log has stored it. Rejects when the log does, and with
   * SIGNALBOX_CONFLICT when other nodes were faster again and again.
   */
  append(act: Act): Promise<ChainEntry> {
    // Copied now: what the caller does to its objects later is not what happened.
    const described = this.#describe(act)
    const result = this.#last.then(() => this.#append(described))
    this.#last = result.catch(() => {})
    return result
  }

  /** The newest entry's place and hash; seq 0 when there is none. */
  async head(): Promise<ChainHead> {
    const last = await this.#log.last()
    return last === undefined ? FIRST : { seq: last.seq, hash: last.hash }
  }

  /**
   * Reads the whole chain and finds the first broken entry. That entries are missing at the end is found only with
   * a `head` that was kept elsewhere; everything else is found without.
   */
  async verify(head?: ChainHead): Promise<ChainReport> {
    let previous = FIRST
    for await (const entry of this.#log.read(1)) {
      const reason = this.#fault(entry, previous)
      if (reason !== undefined) return { ok: false, seq: previous.seq + 1, reason }
      if (entry.seq === head?.seq && entry.hash !== head.hash)
        return { ok: false, seq: entry.seq, reason: 'changed' }
      previous = { seq: entry.seq, hash: entry.hash }
    }
    if (head !== undefined && head.seq > previous.seq)
      return { ok: false, seq: previous.seq + 1, reason: 'missing' }
    return { ok: true, entries: previous.seq, head: previous }
  }

  #describe(act: Act): Described {
    const { who, what, target, result, remoteAddress = null, secretPointers = [] } = act
    const masked = (value: unknown) => this.#shorten(redact(value, { pointers: secretPointers }))
    return { who, what, target, before: masked(act.before), after: masked(act.after), result, remoteAddress }
  }

  /** Through JSON, so that what is hashed is what any store gives back. */
  #shorten(value: unknown): unknown {
    const text = canonicalJson(value ?? null)
    if (text.length <= this.#maxChars) return JSON.parse(text)
    return { omitted: true, chars: text.length, sha256: createHash('sha256').update(text).digest('hex') }
  }

  async #append(described: Described): Promise<ChainEntry> {
    for (let race = 0; race < MAX_RACES; race++) {
      const previous = await this.head()
      const at = new Date(this.#clock.now()).toISOString()
      const open = { ...described, seq: previous.seq + 1, at, previousHash: previous.hash }
      const entry: ChainEntry = { ...open, hash: this.#hash(open) }
      if (await this.#log.append(entry)) return entry
    }
    throw new SignalboxError('SIGNALBOX_CONFLICT', 'the audit chain: other nodes were faster each time', {
      retryable: true,
    })
  }

  #fault(entry: ChainEntry, previous: ChainHead): Exclude<ChainReport, { ok: true }>['reason'] | undefined {
    if (typeof entry !== 'object' || entry === null || !Number.isSafeInteger(entry.seq)) return 'malformed'
    if (entry.seq > previous.seq + 1) return 'missing'
    if (entry.seq !== previous.seq + 1 || entry.previousHash !== previous.hash) return 'unlinked'
    const { hash, ...open } = entry
    return hash === this.#hash(open) ? undefined : 'changed'
  }

  #hash(open: object): string {
    const hash = this.#key === undefined ? createHash('sha256') : createHmac('sha256', this.#key)
    return hash.update(canonicalJson(open)).digest('hex')
  }
}
