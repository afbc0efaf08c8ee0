/** What routers, and clients, say to each other in ZeroMQ frames. See docs/protocol.md. */
import type { WireError } from '../errors.ts'
import type { DirectoryChange } from './directory.ts'
import type { Place } from './place.ts'
import type { Announcement } from './singletons.ts'

/** What routers say to each other, and to clients, beside the batches. */
export type Control =
  | { type: 'directory'; change: DirectoryChange }
  | { type: 'finish'; place: Place }
  /** A worker has gone: what waits for its answer fails. */
  | { type: 'lost'; place: Place; error: WireError }
  | { type: 'singletons'; announcement: Announcement }

export const BATCH = 0x44 // 'D'
export const CONTROL = 0x43 // 'C'
/** What a place may look like; longer than any of ours. */
export const PLACE = /^[A-Za-z0-9._/:-]{1,400}$/

/** Where a batch goes, where it comes from, and the session numbers of both, the sender's first. */
export interface BatchHeader {
  to: Place
  source: Place
  sessions: [from: number, to: number]
}

/** Header of a batch: `D`, then divided by NUL both places and both session numbers in decimal. */
export function encodeHeader({ to, source, sessions: [from, own] }: BatchHeader): Buffer {
  return Buffer.from(`D${to}\0${source}\0${from}\0${own}`, 'latin1')
}

/** Undefined for a header that is none. */
export function decodeHeader(header: Buffer): BatchHeader | undefined {
  const [to, source, from, own, ...more] = header.toString('latin1', 1).split('\0')
  const sessions: [number, number] = [Number(from), Number(own)]
  if (!to || !source || more.length > 0 || !PLACE.test(source)) return undefined
  if (!Number.isSafeInteger(sessions[0]) || !Number.isSafeInteger(sessions[1])) return undefined
  return sessions[0] < 1 || sessions[1] < 0 ? undefined : { to, source, sessions }
}
