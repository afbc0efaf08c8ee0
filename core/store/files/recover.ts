/** Finds the segments of a journal, gives their records, and makes the last one fit to be written again. */
import { existsSync } from 'node:fs'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from '../../telemetry/log.ts'
import { damaged, foreign } from './failure.ts'
import { withFile } from './file-pool.ts'
import {
  dataSync,
  namesIn,
  readFully,
  renameDurably,
  sizeOf,
  syncFolder,
  writeFully,
  writeSynced,
} from './files.ts'
import {
  baseOf,
  decodeHead,
  encodeFrame,
  FRAME,
  FRAME_BYTES,
  HEAD_BYTES,
  NEW_SUFFIX,
  type SegmentHead,
  segmentName,
} from './format.ts'
import { type Each, type ScanResult, scanSegment } from './scan.ts'
import { SegmentFile } from './segment.ts'
import { wipe } from './zeros.ts'

export interface RecoverOptions {
  folder: string
  dsync: boolean
  log: Logger
}

/** Gives every record of the journal in a folder, oldest first; its segments, ready to be read and written. */
export async function recover(options: RecoverOptions, each: Each): Promise<SegmentFile[]> {
  const all: SegmentFile[] = []
  try {
    return await recoverAll(options, each, all)
  } catch (error) {
    for (const segment of all) segment.retire()
    throw error
  }
}

async function recoverAll(options: RecoverOptions, each: Each, all: SegmentFile[]): Promise<SegmentFile[]> {
  const { folder } = options
  const names = await namesIn(folder)
  for (const name of names) if (name.endsWith(NEW_SUFFIX)) await rm(join(folder, name))
  for (const name of names.filter(name => baseOf(name) !== undefined).sort()) {
    all.push(new SegmentFile(folder, await readHead(join(folder, name), baseOf(name)!), options.dsync))
  }
  const last = all.at(-1)
  if (!last) return []
  // What was trimmed may still be there after a crash; the last segment knows.
  const first = all.length > 1 ? await scan(last, undefined, undefined) : undefined
  const segments = all.filter(segment => !first || segment.base >= oldestOf(last, first))
  if (first) checkChain(segments, oldestOf(last, first), folder)
  for (const [i, segment] of segments.slice(0, -1).entries()) {
    segment.end = segments[i + 1]!.head.previousEnd
    await scan(segment, segment.end, each)
  }
  const result = await scan(last, undefined, each)
  checkChain(segments, oldestOf(last, result), folder)
  if (result.last?.kind === FRAME.seal) {
    throw damaged(folder, `the segment behind ${segmentName(last.base)} is missing`)
  }
  await mend(last, result, options)
  await removeTrimmed(all, segments, folder)
  return segments
}

async function readHead(path: string, base: number): Promise<SegmentHead> {
  const bytes = Buffer.alloc(HEAD_BYTES)
  const handle = await open(path, 'r')
  try {
    if (!(await handle.stat()).isFile()) throw foreign(path, 'it is not a file')
    const length = await readFully(handle.fd, bytes, 0, HEAD_BYTES, 0)
    const head = decodeHead(bytes.subarray(0, length))
    if ('foreign' in head) throw foreign(path, head.foreign)
    if ('damaged' in head) throw damaged(path, head.damaged, 0)
    if (head.base !== base) throw damaged(path, `its name is not ${segmentName(head.base)}, which it had`)
    return head
  } finally {
    await handle.close()
  }
}

function scan(segment: SegmentFile, until: number | undefined, each: Each | undefined): Promise<ScanResult> {
  return withFile(segment.file, async fd => {
    const size = await sizeOf(fd)
    segment.allocated = size
    return scanSegment(fd, segment.path, size, segment.head, until, each)
  })
}

function oldestOf(segment: SegmentFile, { last }: ScanResult): number {
  return last?.oldest ?? segment.head.oldest
}

/** Throws unless each segment is followed by the one that was made after it, from the oldest on. */
function checkChain(segments: readonly SegmentFile[], oldest: number, folder: string): void {
  if (segments[0]?.base !== oldest) throw damaged(folder, `the segment ${segmentName(oldest)} is missing`)
  for (let i = 1; i < segments.length; i++) {
    const { head, path } = segments[i]!
    const before = segments[i - 1]!
    if (head.journal !== before.head.journal) throw foreign(path, 'it is a segment of another journal')
    if (head.previous !== before.base) {
      throw damaged(folder, `the segment ${segmentName(head.previous)} is missing`)
    }
  }
}

/** Makes what was read durable, and moves aside what was cut off: nobody was ever told of it. */
async function mend(segment: SegmentFile, result: ScanResult, options: RecoverOptions): Promise<void> {
  segment.end = result.end
  const clean = result.tornEnd === undefined && (!result.last || result.last.kind === FRAME.mark)
  if (clean) return
  if (result.tornEnd !== undefined) await moveAside(segment, result.end, result.tornEnd, options)
  await withFile(segment.file, async fd => {
    if (result.tornEnd !== undefined) await wipe(fd, result.end, result.tornEnd - result.end)
    if (result.last?.kind === FRAME.batch) await rewrite(fd, result.batchStart, result.batchEnd)
    await dataSync(fd)
    const allocated = Math.max(segment.allocated, result.end + FRAME_BYTES)
    await writeFully(fd, markFrame(segment, oldestOf(segment, result), allocated), result.end)
    await dataSync(fd)
    segment.allocated = allocated
  })
  segment.end += FRAME_BYTES
}

function markFrame(segment: SegmentFile, oldest: number, allocated: number): Buffer {
  const bytes = Buffer.alloc(FRAME_BYTES)
  const frame = { kind: FRAME.mark, count: 0, bytes: 0, oldest, synced: segment.end, allocated }
  encodeFrame(bytes, 0, frame, segment.head.salt, segment.base + segment.end)
  return bytes
}

async function moveAside(
  segment: SegmentFile,
  from: number,
  to: number,
  { folder, log }: RecoverOptions,
): Promise<void> {
  const path = join(folder, `${segmentName(segment.base)}.${from}.torn`)
  // One that is there is from a recovery that was cut off itself, and the segment may have lost the bytes by now.
  if (!existsSync(path)) {
    const bytes = Buffer.alloc(to - from)
    await withFile(segment.file, fd => readFully(fd, bytes, 0, bytes.length, from))
    await writeSynced(path + NEW_SUFFIX, bytes)
    await renameDurably(path + NEW_SUFFIX, path)
  }
  const data = { path: segment.path, offset: from, bytes: to - from, movedTo: path }
  log.warn(data, 'a write to a journal was cut off before it was confirmed; its bytes were moved aside')
}

/** After a failed sync, bytes can be read that are not on disk and that no sync writes, unless they are written again. */
async function rewrite(fd: number, from: number, to: number): Promise<void> {
  const bytes = Buffer.allocUnsafe(to - from)
  await readFully(fd, bytes, 0, bytes.length, from)
  await writeFully(fd, bytes, from)
}

async function removeTrimmed(
  all: readonly SegmentFile[],
  kept: readonly SegmentFile[],
  folder: string,
): Promise<void> {
  const trimmed = all.slice(0, all.length - kept.length)
  for (const segment of trimmed) {
    segment.retire()
    await rm(segment.path)
  }
  if (trimmed.length > 0) await syncFolder(folder)
}
