/**
 * Zeros behind the batches. They are written ahead, so that the sync of a small batch need not write the length of the
 * file and its blocks as well, which takes half as long again; and over what a failed write may have left.
 */
import { writev } from 'node:fs'
import { dataSync, sizeOf, writeAll, writeFully } from './files.ts'
import { FRAME_BYTES } from './format.ts'

/** A batch below this counts as small: its bytes cost less than its sync. */
export const SMALL_BYTES = 64 * 1024
const ZEROS = Buffer.alloc(1024 * 1024)
const PAGE_BYTES = 4096

/** How many zeros to write behind a batch that ends at `end`: as many again for small ones, hardly any for large ones. */
export function zerosBehind(end: number, bytes: number, segmentBytes: number): number {
  const ahead = bytes < SMALL_BYTES ? Math.min(end, ZEROS.length / 2) : 0
  const to = Math.min(end + ahead, Math.max(segmentBytes, end))
  const page = Math.ceil((to + FRAME_BYTES) / PAGE_BYTES) * PAGE_BYTES
  return Math.min(page - end, ZEROS.length)
}

/** Writes the first bytes of a buffer, and zeros behind them, of which any number may be missing; tells how far it came. */
export function writeWithZeros(
  fd: number,
  buffer: Buffer,
  length: number,
  offset: number,
  zeros: number,
  done: (error: Error | null, reached: number) => void,
): void {
  if (zeros === 0) {
    writeAll(fd, buffer, length, offset, error => done(error, offset + length))
    return
  }
  writev(fd, [buffer.subarray(0, length), ZEROS.subarray(0, zeros)], offset, (error, written) => {
    if (error || written >= length) return done(error, offset + written)
    const rest = buffer.subarray(written, length)
    writeAll(fd, rest, rest.length, offset + written, error => done(error, offset + length))
  })
}

/** Makes everything in a part of a file zero, as far as the file goes, and syncs that; the size of the file. */
export async function wipe(fd: number, from: number, length: number): Promise<number> {
  const size = await sizeOf(fd)
  const end = Math.min(size, from + length)
  for (let at = from; at < end; at += ZEROS.length) {
    await writeFully(fd, ZEROS.subarray(0, Math.min(ZEROS.length, end - at)), at)
  }
  await dataSync(fd)
  return size
}
