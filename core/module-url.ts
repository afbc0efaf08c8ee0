import { posix } from 'node:path'

/**
 * The URL of a module that stands beside `base` (an `import.meta.url`) and starts a thread or process of its
 * own: `siblingModule(import.meta.url, './worker-entry')`. The extension is that of `base`: `.ts` when the
 * sources run, `.js` in the published package, where a literal `./worker-entry.ts` would not exist.
 */
export function siblingModule(base: string, name: string): URL {
  return new URL(`${name}${posix.extname(new URL(base).pathname)}`, base)
}
