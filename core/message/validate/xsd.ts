/** XML Schema 1.0 by libxml2 (WebAssembly), in the threads of the CPU pool. */
import { createHash } from 'node:crypto'
import { SignalboxError } from '../../errors.ts'
import { siblingModule } from '../../module-url.ts'
import { buildXml, type XmlElement } from '../xml.ts'
import { SchemaFolder, unusable } from './schema-files.ts'
import type { ValidationContext, Validator, Violation } from './violation.ts'
import { collectXsd } from './xsd-files.ts'

export interface XsdOptions {
  /** Path of the schema below `folder`. */
  xsd: string
  folder: URL | string
  /** Bytes of a message. Default 16 MiB: libxml2 holds the message as a tree of several times its size. */
  maxBytes?: number
  /** Longest time for one message, waiting for a thread included, in milliseconds. Default 10,000. */
  timeoutMs?: number
}

/** What travels to the thread. */
export interface XsdRequest {
  folder: string
  xsd: string
  /** Hash of all files of the schema: a thread compiles them once for each. */
  key: string
  document: Uint8Array | string
  maxBytes: number
}

const TASK = siblingModule(import.meta.url, './xsd-task')

/**
 * A validator for XML documents: bytes, a text, or an element. The schema and all that it includes and imports are
 * read from `folder` and from nowhere else, now and once more in each thread that compiles them. What a document says
 * about the place of schemas (`xsi:schemaLocation`) is not followed. A document is read by the parser of the bus
 * first, so its limits and refusals hold here too.
 *
 * Throws SIGNALBOX_SCHEMA_INVALID. `validate` needs the context of a service; it rejects with SIGNALBOX_FORMAT_INVALID
 * or SIGNALBOX_FORMAT_LIMIT for a document that is not well-formed or too large, with SIGNALBOX_SCHEMA_INVALID when
 * the schema does not compile or its files have changed, and as `cpu` does.
 */
export function xsdValidator(options: XsdOptions): Validator {
  const { maxBytes = 16 * 1_048_576, timeoutMs = 10_000 } = options
  const folder = options.folder instanceof URL ? options.folder.href : options.folder
  const { key, main } = hashXsd(folder, options.xsd)
  return {
    async validate(message: unknown, context?: ValidationContext): Promise<Violation[]> {
      if (typeof context?.cpu !== 'function') {
        throw new SignalboxError(
          'SIGNALBOX_USAGE',
          'An XSD validator needs the context of the service: pass this',
        )
      }
      const request: XsdRequest = {
        folder,
        xsd: main,
        key,
        document: documentOf(message),
        maxBytes,
      }
      return await context.cpu<Violation[]>(TASK, request, { timeoutMs })
    },
  }
}

/** @internal The path of a schema, its files, and a hash of them. */
export function hashXsd(
  folder: string,
  xsd: string,
): { key: string; main: string; files: ReadonlyMap<string, Buffer> } {
  const reader = new SchemaFolder(folder)
  const main = reader.resolve(xsd)
  if (main === undefined) throw unusable(`'${xsd}' is no path of a file`)
  const files = collectXsd(reader, main)
  const hash = createHash('sha256').update(`${main}\n`)
  for (const [path, bytes] of files) hash.update(`${path}\n${bytes.length}\n`).update(bytes)
  return { key: hash.digest('base64'), main, files }
}

function documentOf(message: unknown): Uint8Array | string {
  if (typeof message === 'string' || message instanceof Uint8Array) return message
  if (typeof message === 'object' && message !== null && 'qualifiedName' in message) {
    return buildXml(message as XmlElement)
  }
  throw new SignalboxError('SIGNALBOX_USAGE', 'An XSD validates bytes, a text or an element, not other data')
}
