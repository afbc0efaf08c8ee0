/**
 * The contract of a journal: records in the order they were written, on disk before the writer is told. Queues,
 * topics and schedules are state machines whose every step is a record of a journal; what they are at any time
 * follows from reading it again. Engines differ in where the bytes are; every promise below is checked for each of
 * them by test/conformance/journal.ts.
 */

/**
 * Where a record is: a safe integer above 0 that grows from record to record, with gaps. It is never used again,
 * also not after a restart.
 */
export type Position = number

/** A run of records that is freed as a whole. */
export interface Segment {
  /** No record of it lies before this position. */
  from: Position
  /** The first position behind it. */
  to: Position
  bytes: number
}

export interface AppendOptions {
  /**
   * The records free more room than they take (acknowledgements, copies of what is then trimmed), so they may use
   * the room that is kept back for that. Default false.
   */
  useReserve?: boolean
}

/**
 * A journal. `replay` is called once, before anything else; everything else may be called at once and in any number.
 *
 * Records are written in the order of the calls, all records of one call together: after a crash or a failure either
 * all of them are there or none. When a call has resolved, its records are on disk (fsync) and survive kill -9 and
 * loss of power. Calls that wait at the same time share one fsync. A call that was rejected left nothing behind, and
 * neither did the calls behind it that are rejected with it; once the cause is gone the journal takes records again,
 * by itself. Rejects with SIGNALBOX_STORE_FULL when there is no room, SIGNALBOX_STORE_UNAVAILABLE when the disk or
 * server fails or after `close`, SIGNALBOX_STORE_ENTRY_INVALID for a record that is empty or over `maxRecordBytes` and
 * for a call that is too large as a whole, SIGNALBOX_OVERLOADED when more waits to be written than is allowed, and
 * SIGNALBOX_USAGE before `replay` has resolved.
 */
export interface Journal {
  /** The largest record in bytes. */
  readonly maxRecordBytes: number
  /**
   * Gives every record, oldest first. The bytes are valid only until `each` returns. Bytes that were never confirmed
   * to a writer (a write cut off by a crash) are dropped; throws SIGNALBOX_STORE_DAMAGED, with place and reason, for
   * anything else that is not what was written and SIGNALBOX_STORE_FOREIGN for what another program or a newer version
   * wrote; after that, and after an error that `each` throws and this passes on, the journal takes no records.
   */
  replay(each: (record: Buffer, position: Position) => void): Promise<void>
  /** Appends records; their positions. Takes a copy before it returns. */
  append(records: readonly Uint8Array[], options?: AppendOptions): Promise<Position[]>
  /**
   * Reads records again, in the order asked for; the buffers are the caller's. Throws SIGNALBOX_STORE_DAMAGED, or
   * SIGNALBOX_USAGE where it is plain that no record ever was, and never gives wrong bytes.
   */
  read(positions: readonly Position[]): Promise<Buffer[]>
  /**
   * Frees the segments whose records all lie before a position, but never the last one. Reading those records
   * afterwards is an error of the caller.
   */
  trim(before: Position): Promise<void>
  /** What there is, oldest first. The last one is being written. */
  segments(): readonly Segment[]
  /**
   * Writes a consistent copy of everything that is confirmed to a folder that is new or empty (SIGNALBOX_USAGE
   * otherwise). Appends go on meanwhile; trims wait until it is done.
   */
  backup(to: string): Promise<void>
  /** Finishes the appends that were accepted, then frees everything. Idempotent. */
  close(): Promise<void>
}
