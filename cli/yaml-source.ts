/** The signalbox.yaml that a verb is about. */
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { SignalboxError } from '../core/errors.ts'

/** The text of a file, of the signalbox.yaml in a folder, or of standard input (`-`). Throws SIGNALBOX_USAGE. */
export async function yamlSource(place: string): Promise<string> {
  if (place === '-') return text(process.stdin)
  try {
    const isFolder = (await stat(place)).isDirectory()
    return await readFile(isFolder ? join(place, 'signalbox.yaml') : place, 'utf8')
  } catch (cause) {
    const message = `${place} has no signalbox.yaml that can be read: ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_USAGE', message, { cause })
  }
}
