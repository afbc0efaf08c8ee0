/**
 * Watches a project: a saved service or route file is deployed, a saved module or mapping beside them makes fresh
 * workers.
 */
import { relative } from 'node:path'
import { watch } from 'chokidar'
import type { Logger } from '../core/telemetry/log.ts'
import type { SavedFiles } from './saved-files.ts'

const CODE = /\.(?:ts|mts|js|mjs|json)$/
/** What routes are made of is more than code. */
const ROUTE_CODE = /^(?:routes|mappings)[\\/].*\.(?:ya?ml|jsonata)$/
/** Editors write a file in several steps, and save several files at once. */
const SETTLE_MS = 40

export interface Watching {
  close(): Promise<void>
}

/** Begins to watch the folder of a project; resolves when it does. */
export async function watchProject(root: string, files: SavedFiles, log: Logger): Promise<Watching> {
  const pending = { units: new Set<string>(), others: new Set<string>() }
  let timer: NodeJS.Timeout | undefined
  const settle = () => {
    const [units, others] = [[...pending.units], [...pending.others]]
    pending.units.clear()
    pending.others.clear()
    void files.saved(units, others)
  }
  const changed = (path: string) => {
    const inside = relative(root, path)
    if (inside === 'signalbox.yaml') {
      log.info({}, 'signalbox.yaml has changed: `signalbox diff` shows how, `signalbox apply` makes it so')
      return
    }
    if (!(CODE.test(inside) || ROUTE_CODE.test(inside)) || /\.test\./.test(inside)) return
    if (/^(?:services|routes)[\\/]/.test(inside)) pending.units.add(inside)
    else pending.others.add(inside)
    clearTimeout(timer)
    timer = setTimeout(settle, SETTLE_MS)
  }
  const watcher = watch(root, {
    ignoreInitial: true,
    // What watches does not keep the process alive.
    persistent: false,
    ignored: path => /(?:^|[\\/])(?:node_modules|[._][^\\/]*)(?:[\\/]|$)/.test(relative(root, path)),
  })
  for (const event of ['add', 'change', 'unlink'] as const) watcher.on(event, changed)
  watcher.on('error', error => log.warn({ err: error }, 'the project cannot be watched'))
  await new Promise<void>(resolve => watcher.once('ready', resolve))
  return {
    close: async () => {
      clearTimeout(timer)
      await watcher.close()
    },
  }
}
