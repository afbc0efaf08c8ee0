/** Text that a verb makes: into a file, or to standard output. */
import { randomBytes } from 'node:crypto'
import { rename, rm, writeFile } from 'node:fs/promises'
import { SignalboxError } from '../core/errors.ts'

/** A file is replaced as a whole: who reads it meanwhile sees the old or the new one. */
export async function writeOut(text: string, file: string | undefined): Promise<void> {
  const whole = text.endsWith('\n') ? text : `${text}\n`
  if (file === undefined) {
    process.stdout.write(whole)
    return
  }
  const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`
  try {
    await writeFile(temporary, whole, { flag: 'wx' })
    await rename(temporary, file)
  } catch (cause) {
    await rm(temporary, { force: true })
    const message = `${file} cannot be written: ${(cause as Error).message}`
    throw new SignalboxError('SIGNALBOX_USAGE', message, { cause })
  }
  console.error(`wrote ${file}`)
}
