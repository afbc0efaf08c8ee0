/** Temporary folders with files in them, for tests of tools. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** A temporary folder; `using` removes it. */
export interface Fixture extends Disposable {
  path: string
}

/** Makes a temporary folder with these files: path below the folder to content. */
export function fixture(files: Record<string, string>): Fixture {
  const path = mkdtempSync(join(tmpdir(), 'signalbox-fixture-'))
  for (const [name, content] of Object.entries(files)) {
    const file = join(path, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, content)
  }
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}
