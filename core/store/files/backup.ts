/** Copies what is confirmed to another folder, while the journal goes on. */
import { mkdir, open, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { SignalboxError } from '../../errors.ts'
import { damaged } from './failure.ts'
import { withFile } from './file-pool.ts'
import { readFully, syncFolder, writeFully } from './files.ts'
import { encodeFrame, FRAME, FRAME_BYTES, HEAD_BYTES, NEW_SUFFIX, segmentName } from './format.ts'
import type { SegmentFile } from './segment.ts'

const CHUNK_BYTES = 1024 * 1024

/** Copies segments to a folder that is new or empty. They must not be removed meanwhile. */
export async function copySegments(segments: readonly SegmentFile[], to: string): Promise<void> {
  // What is appended from now on is not part of the copy.
  const parts = segments
    .map(segment => ({ segment, end: segment.end }))
    // An empty one may be about to be replaced.
    .filter(({ end }) => end > HEAD_BYTES)
  await mkdir(to, { recursive: true, mode: 0o700 })
  if ((await readdir(to)).length > 0) {
    throw new SignalboxError(
      'SIGNALBOX_USAGE',
      `${to} is not empty: a backup is written to a folder of its own`,
    )
  }
  for (const [i, { segment, end }] of parts.entries()) {
    const kind = i === parts.length - 1 ? FRAME.mark : FRAME.seal
    const path = join(to, segmentName(segment.base) + NEW_SUFFIX)
    await withFile(segment.file, fd => copy(fd, segment, end, path, lastFrame(segment, end, kind, segments)))
  }
  // From the newest on: a copy that was cut off lacks its oldest segment, which the newest names.
  for (const { segment } of parts.toReversed()) {
    const path = join(to, segmentName(segment.base))
    await rename(path + NEW_SUFFIX, path)
    await syncFolder(to)
  }
}

function lastFrame(
  { base, head }: SegmentFile,
  end: number,
  kind: typeof FRAME.mark | typeof FRAME.seal,
  segments: readonly SegmentFile[],
): Buffer {
  const bytes = Buffer.alloc(FRAME_BYTES)
  const frame = {
    kind,
    count: 0,
    bytes: 0,
    oldest: segments[0]!.base,
    synced: end,
    allocated: end + FRAME_BYTES,
  }
  encodeFrame(bytes, 0, frame, head.salt, base + end)
  return bytes
}

async function copy(
  fd: number,
  segment: SegmentFile,
  end: number,
  path: string,
  lastFrame: Buffer,
): Promise<void> {
  const target = await open(path, 'wx', 0o600)
  try {
    const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, end))
    for (let at = 0; at < end; ) {
      const length = await readFully(fd, chunk, 0, Math.min(chunk.length, end - at), at)
      if (length === 0) throw damaged(segment.path, 'the file was cut off', at)
      await writeFully(target.fd, chunk.subarray(0, length), at)
      at += length
    }
    await writeFully(target.fd, lastFrame, end)
    await target.sync()
  } finally {
    await target.close()
  }
}
