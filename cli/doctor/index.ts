/** All checks of `signalbox doctor`. A new one is a function in a file of its group, and a line here. */
import type { NodeView } from '../../actors/admin/operator.ts'
import type { LogView } from '../../actors/messages/log-view.ts'
import { loadProject, type Project } from '../project.ts'
import { certificates } from './certificates.ts'
import type { Check } from './check.ts'
import { clockDrift, timeZones } from './clock.ts'
import { freeDisk, fsyncLatency } from './disk.ts'
import { keptChecks } from './kept.ts'
import { mappings } from './mappings.ts'
import { ports, tcpMigrate } from './network.ts'
import { policyChecks } from './policy.ts'
import { projectParses, servicesLoad } from './project.ts'
import { actorsRun } from './running.ts'
import { nativePackages, nodeVersion, openFiles } from './runtime.ts'
import { secretFiles } from './secrets.ts'

/** The checks for the project in a folder, and for the node that runs it and what it keeps, if any. */
export async function checksFor(
  root: string,
  node: NodeView | undefined,
  logs: readonly LogView[] | undefined,
): Promise<Check[]> {
  // What is wrong with it, the check of the project says.
  const project = await loadProject(root).catch(() => undefined)
  return [
    nodeVersion(),
    nativePackages(),
    openFiles(),
    ...(process.platform === 'linux' ? [tcpMigrate()] : []),
    clockDrift(),
    timeZones(),
    freeDisk(root),
    fsyncLatency(root),
    projectParses(root),
    servicesLoad(root),
    mappings(root),
    secretFiles(root),
    ...(project ? ofProject(project, node) : []),
    actorsRun(node),
    ...keptChecks(logs),
  ]
}

function ofProject(project: Project, node: NodeView | undefined): Check[] {
  const endpoints = node?.workers.flatMap(({ actors }) => actors.map(({ endpoint }) => endpoint)) ?? []
  const held = [...endpoints, node?.endpoint].filter(endpoint => endpoint !== undefined)
  return [
    ...policyChecks(project),
    ports(project, async () => held),
    ...certificates(project.root, project.channels),
  ]
}
