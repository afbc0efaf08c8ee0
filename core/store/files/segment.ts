/** One file of a journal, as it is known in memory. */
import { constants } from 'node:fs'
import { join } from 'node:path'
import { PooledFile, retire } from './file-pool.ts'
import { HEAD_BYTES, NEW_SEGMENT_BYTES, type SegmentHead, segmentName } from './format.ts'

/** Where a write is on disk when it has returned; elsewhere it takes an fdatasync. */
export const O_DSYNC: number | undefined = process.platform === 'linux' ? constants.O_DSYNC : undefined

export class SegmentFile {
  readonly path: string
  readonly head: SegmentHead
  /** For reading, and for writes that are synced by themselves. */
  readonly file: PooledFile
  /** For writes that are to be on disk when they return. */
  readonly synced: PooledFile
  /** Where what is confirmed ends, as an offset in the file. */
  end = HEAD_BYTES
  /** Bytes of the file that are on disk, with zeros behind the end. */
  allocated = NEW_SEGMENT_BYTES
  /** Whether a frame at the end says that all before it is synced, and whether that frame is. */
  marked: false | 'hinted' | 'synced' = 'synced'
  /** A write or a sync failed: nothing more is written to it. */
  failed = false

  constructor(folder: string, head: SegmentHead, dsync: boolean) {
    this.head = head
    this.path = join(folder, segmentName(head.base))
    this.file = new PooledFile(this.path, constants.O_RDWR)
    this.synced = dsync && O_DSYNC ? new PooledFile(this.path, constants.O_RDWR | O_DSYNC) : this.file
  }

  get base(): number {
    return this.head.base
  }

  /** Closes its files once nobody uses them. */
  retire(): void {
    retire(this.file)
    if (this.synced !== this.file) retire(this.synced)
  }
}
