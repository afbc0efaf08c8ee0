/** What routers, and clients, say to each other in ZeroMQ frames. See docs/protocol.md. */
import type { DirectoryChange } from './directory.ts'
import type { Place } from './place.ts'
import type { Announcement } from './singletons.ts'

/** What routers say to each other, and to clients, beside the batches. */
export type Control =
  | { type: 'directory'; change: DirectoryChange }
  | { type: 'finish'; place: Place }
  | { type: 'singletons'; announcement: Announcement }

export const BATCH = 0x44 // 'D'
export const CONTROL = 0x43 // 'C'
/** Header of a batch: `D`, the place it goes to, NUL, the place it comes from. */
export function encodeHeader(to: Place, source: Place): Buffer {
  return Buffer.from(`D${to}\0${source}`, 'latin1')
}

/** Both places; empty ones for a header that is none. */
export function decodeHeader(header: Buffer): { to: Place; source: Place } {
  const [to = '', source = ''] = header.toString('latin1', 1).split('\0')
  return { to, source }
}

