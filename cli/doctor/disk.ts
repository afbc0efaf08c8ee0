/** Checks of the disk under the project. */
import { randomBytes } from 'node:crypto'
import { open, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Check } from './check.ts'

const MIB = 1024 * 1024
const LITTLE_DISK_BYTES = 2048 * MIB
const TOO_LITTLE_DISK_BYTES = 256 * MIB
const SLOW_FSYNC_MS = 25
const TOO_SLOW_FSYNC_MS = 250
const SYNCS = 15

export function freeDisk(folder: string, read: (folder: string) => Promise<number> = freeBytes): Check {
  return {
    id: 'free-disk',
    title: 'free disk',
    run: async () => {
      const bytes = await read(folder)
      return {
        status: bytes < TOO_LITTLE_DISK_BYTES ? 'fail' : bytes < LITTLE_DISK_BYTES ? 'warn' : 'ok',
        detail: `${Math.floor(bytes / MIB)} MiB at ${folder}`,
        why: 'A full disk stops queues, the audit chain and deployments.',
        fix: `du -xh ${folder} | sort -h | tail  shows what takes the place`,
      }
    },
  }
}

/** Measures how long the disk takes to keep 4 KiB for good. */
export function fsyncLatency(
  folder: string,
  measure: (folder: string) => Promise<number> = medianFsyncMs,
): Check {
  return {
    id: 'fsync',
    title: 'fsync latency',
    run: async () => {
      const ms = await measure(folder)
      return {
        status: ms > TOO_SLOW_FSYNC_MS ? 'fail' : ms > SLOW_FSYNC_MS ? 'warn' : 'ok',
        detail: `${ms.toFixed(2)} ms (median of ${SYNCS})`,
        why: 'A durable message is accepted only when the disk has it: this is the shortest time that takes.',
        fix: 'Put the project on a local SSD; network disks and busy disks are slow.',
      }
    },
  }
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

async function medianFsyncMs(folder: string): Promise<number> {
  const path = join(folder, `.signalbox-doctor-${randomBytes(6).toString('hex')}`)
  const file = await open(path, 'wx', 0o600)
  try {
    const block = randomBytes(4096)
    const times: number[] = []
    for (let i = 0; i < SYNCS; i++) {
      const start = performance.now()
      await file.write(block)
      await file.datasync()
      times.push(performance.now() - start)
    }
    return times.sort((a, b) => a - b)[SYNCS >> 1]!
  } finally {
    await file.close()
    await rm(path, { force: true })
  }
}
