/** Certificates and keys in options: PEM text (RFC 7468), or the path of a file that has it. */
import { readFile } from 'node:fs/promises'
import { SignalboxError } from './errors.ts'

/** The PEM text that the option `tls` of a transport gives. Rejects with SIGNALBOX_OPTIONS_INVALID when its file cannot be read. */
export async function readPem(value: string): Promise<string> {
  if (value.includes('-----BEGIN')) return value
  try {
    return await readFile(value, 'utf8')
  } catch (error) {
    const message = `tls: cannot read '${value}': ${(error as Error).message}`
    throw new SignalboxError('SIGNALBOX_OPTIONS_INVALID', message)
  }
}
