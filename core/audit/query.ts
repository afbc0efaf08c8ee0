/** What is asked of the audit log, and whether a record is an answer. */
import { matchesGlob } from 'node:path'
import { SignalboxError } from '../errors.ts'
import { parseOptions, type Static, Type } from '../schema.ts'
import { unpackValue } from '../store/value.ts'
import type { Wanted } from './blocks.ts'
import type { StoredRecord } from './chunk.ts'
import { AUDIT_KINDS, type KeptBody, MAX_CID, MAX_TEXT } from './entry.ts'
import { hashOf } from './hash.ts'

const Text = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 256, description }))

/** A search: all of what is given has to hold. */
export const AuditQuery = Type.Object(
  {
    from: Type.Optional(Type.Integer({ description: 'Not before, milliseconds since the epoch.' })),
    to: Type.Optional(Type.Integer({ description: 'Not after, milliseconds since the epoch.' })),
    cid: Text('Correlation id.'),
    name: Text('Address, name, or glob of an address: where it happened, whom it went to, or what made it.'),
    kind: Type.Optional(
      Type.Union(
        AUDIT_KINDS.map(kind => Type.Literal(kind)),
        { description: 'Kind of the step.' },
      ),
    ),
    outcome: Text('`ok`, `error` for any error, or the code of an error.'),
    text: Text('In the cid, the names, the headers or the body; letters of any case.'),
    limit: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000, default: 100, description: 'How many.' }),
    ),
    after: Type.Optional(
      Type.String({ maxLength: 64, description: 'Where the page before has ended: its `next`.' }),
    ),
  },
  { additionalProperties: false },
)
export type AuditQuery = Static<typeof AuditQuery>

/** Where a record is. */
export interface RecordPlace {
  volume: number
  position: number
  index: number
}

/** The id of a record. */
export function idOf({ volume, position, index }: RecordPlace): string {
  return `${volume.toString(36)}-${position.toString(36)}-${index.toString(36)}`
}

/** Throws SIGNALBOX_USAGE for what is no id. */
export function placeOf(id: string): RecordPlace {
  const match = /^([0-9a-z]{1,11})-([0-9a-z]{1,11})-([0-9a-z]{1,5})$/.exec(id)
  const [volume, position, index] = (match?.slice(1) ?? []).map(part => Number.parseInt(part, 36))
  if (match === null || !Number.isSafeInteger(volume) || !Number.isSafeInteger(position)) {
    throw new SignalboxError('SIGNALBOX_USAGE', `'${id.slice(0, 64)}' is no id of a record of the audit log`)
  }
  return { volume: volume!, position: position!, index: index! }
}

/** A query that is valid, with all that a search needs of it. */
export interface Plan {
  wanted: Wanted
  limit: number
  after: RecordPlace | undefined
  cidHash: number | undefined
  matches(record: StoredRecord): boolean
}

const ALL_KINDS = (1 << AUDIT_KINDS.length) - 1

/** Throws SIGNALBOX_OPTIONS_INVALID for what is no query. */
export function planOf(query: unknown): Plan {
  const { from, to, cid, name, kind, outcome, text, limit, after } = parseOptions<AuditQuery>(
    AuditQuery,
    query,
    'search',
  )
  const needle = text?.toLowerCase()
  const shortCid = cid?.slice(0, MAX_CID)
  const exactName = name !== undefined && isAddress(name) ? name.slice(0, MAX_TEXT) : undefined
  const code = outcome === 'ok' || outcome === 'error' ? undefined : outcome
  const hashes = [shortCid, exactName, code].filter(item => item !== undefined).map(hashOf)
  const range = { from: from ?? Number.NEGATIVE_INFINITY, to: to ?? Number.POSITIVE_INFINITY }
  return {
    wanted: {
      ...range,
      kinds: kind === undefined ? ALL_KINDS : 1 << AUDIT_KINDS.indexOf(kind),
      errorsOnly: outcome !== undefined && outcome !== 'ok',
      hashes,
    },
    limit: limit!,
    after: after === undefined ? undefined : placeOf(after),
    cidHash: shortCid === undefined ? undefined : hashOf(shortCid),
    matches: record =>
      record.at <= range.to &&
      record.at + record.durationMs >= range.from &&
      (shortCid === undefined || record.cid === shortCid) &&
      (kind === undefined || record.kind === kind) &&
      (outcome === undefined || matchesOutcome(outcome, record.outcome)) &&
      (name === undefined || matchesName(name, record)) &&
      (needle === undefined || hasText(needle, record)),
  }
}

/** A query for everything of one cid. */
export function cidPlan(cid: string): Plan {
  const short = cid.slice(0, MAX_CID)
  const hash = hashOf(short)
  return {
    wanted: {
      from: Number.NEGATIVE_INFINITY,
      to: Number.POSITIVE_INFINITY,
      kinds: ALL_KINDS,
      errorsOnly: false,
      hashes: [hash],
    },
    limit: Number.POSITIVE_INFINITY,
    after: undefined,
    cidHash: hash,
    matches: record => record.cid === short,
  }
}

/** The body of a record; undefined when it was not kept. */
export function bodyOf({ bodyBytes }: StoredRecord): KeptBody | undefined {
  return bodyBytes === undefined ? undefined : (unpackValue(bodyBytes) as KeptBody)
}

function matchesOutcome(wanted: string, outcome: string): boolean {
  return wanted === 'error' ? outcome !== 'ok' : outcome === wanted
}

function isAddress(name: string): boolean {
  return name.includes('/') && !/[*?[\]{}!]/.test(name)
}

function matchesName(name: string, { address, to, from }: StoredRecord): boolean {
  return [address, to, from].some(
    other => other !== undefined && (other === name || lastPart(other) === name || matchesGlob(other, name)),
  )
}

function lastPart(address: string): string {
  return address.slice(address.lastIndexOf('/') + 1)
}

function hasText(needle: string, record: StoredRecord): boolean {
  const { cid, address, to, from, operation, detail, outcome, headers } = record
  const known = JSON.stringify([cid, address, to, from, operation, detail, outcome, headers])
  if (known.toLowerCase().includes(needle)) return true
  const body = bodyOf(record)
  return body !== undefined && textOf(body.payload).toLowerCase().includes(needle)
}

function textOf(payload: unknown): string {
  if (payload instanceof Uint8Array) return Buffer.from(payload).toString('utf8')
  return typeof payload === 'string' ? payload : (JSON.stringify(payload) ?? '')
}
