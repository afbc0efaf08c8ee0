/** A process that the benchmark of the audit log calls by HTTP; what is recorded, its environment says. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startProject } from '../cli/start.ts'
import type { AuditStatus } from '../core/audit/audit-log.ts'
import { urlOf } from '../test/faulty-bus.ts'

/** What the process says and is asked. */
export type FromServer = { url: string } | { cpuMs: number; records: number; dropped: number }

const stateFolder = mkdtempSync(join(tmpdir(), 'signalbox-bench-audit-'))
process.on('exit', () => rmSync(stateFolder, { recursive: true, force: true }))

const folder = fileURLToPath(new URL('projects/audited', import.meta.url))
const { node } = await startProject(folder, { workers: 1, stateFolder })
process.on('message', async () => {
  const { user, system } = process.cpuUsage()
  const keeper = await node.host.startKeeper()
  const off = () => ({ records: 0, dropped: 0 })
  const status = (await keeper.request('auditStatus', undefined).catch(off)) as AuditStatus
  const { records, dropped } = status
  process.send!({ cpuMs: (user + system) / 1000, records, dropped } satisfies FromServer)
})
process.on('disconnect', () => process.exit())
process.send!({ url: await urlOf(node) } satisfies FromServer)
