/** Run in the threads of the CPU pool: checks one document by one XML Schema. */
import {
  type ErrorDetail,
  ParseOption,
  XmlDocument,
  XmlLibError,
  XsdValidator,
  xmlRegisterInputProvider,
} from 'libxml2-wasm'
import { toSignalboxError } from '../../errors.ts'
import { parseXml } from '../xml.ts'
import { decodeXml } from '../xml-decode.ts'
import { unusable } from './schema-files.ts'
import type { Violation } from './violation.ts'
import { hashXsd, type XsdRequest } from './xsd.ts'
import { violationsOf } from './xsd-violations.ts'

const BASE = 'signalbox-xsd:///'
const MAX_COMPILED = 32
/** No network, no external entities, no catalogs; entities are not expanded as no option asks for it. */
const SAFE =
  ParseOption.XML_PARSE_NONET |
  ParseOption.XML_PARSE_NO_XXE |
  ParseOption.XML_PARSE_NO_SYS_CATALOG |
  ParseOption.XML_PARSE_BIG_LINES |
  // The text is decoded already, whatever its declaration says.
  ParseOption.XML_PARSE_IGNORE_ENC

/** Compiled schemas by the hash of their files, the one used longest ago first. */
const compiled = new Map<string, XsdValidator>()

/** Files that the schema being compiled may read. Empty otherwise: a document reads nothing. */
let readable: ReadonlyMap<string, Buffer> = new Map()
const opened = new Map<number, { bytes: Buffer; at: number }>()
let lastHandle = 0

xmlRegisterInputProvider({
  match: () => true,
  open(url) {
    const bytes = url.startsWith(BASE) ? readable.get(decodeURIComponent(url.slice(BASE.length))) : undefined
    if (bytes === undefined) return undefined
    opened.set(++lastHandle, { bytes, at: 0 })
    return lastHandle
  },
  read(handle, buffer) {
    const file = opened.get(handle)
    if (file === undefined) return -1
    const length = file.bytes.copy(buffer, 0, file.at)
    file.at += length
    return length
  },
  close: handle => opened.delete(handle),
})

/** Throws as `xsdValidator` says. */
export default function validate(request: XsdRequest): Violation[] {
  const { document, maxBytes } = request
  const input =
    typeof document === 'string'
      ? document
      : Buffer.from(document.buffer, document.byteOffset, document.byteLength)
  const tree = parseXml(input, { maxBytes })
  const schema = schemaFor(request)
  const parsed = parse(decodeXml(input))
  try {
    schema.validate(parsed)
    return []
  } catch (error) {
    if (error instanceof XmlLibError) return violationsOf(error.details, tree)
    throw toSignalboxError(error, 'SIGNALBOX_CPU_FAILED')
  } finally {
    parsed.dispose()
  }
}

function parse(text: string): XmlDocument {
  try {
    return XmlDocument.fromString(text, { option: SAFE })
  } catch (error) {
    throw toSignalboxError(error, 'SIGNALBOX_FORMAT_INVALID')
  }
}

function schemaFor({ folder, xsd, key }: XsdRequest): XsdValidator {
  let schema = compiled.get(key)
  if (schema === undefined) {
    const current = hashXsd(folder, xsd)
    if (current.key !== key) throw unusable(`the files of ${xsd} have changed: deploy the service again`)
    schema = compile(xsd, current.files)
    evict()
  }
  compiled.delete(key)
  compiled.set(key, schema)
  return schema
}

function evict(): void {
  for (const [key, schema] of compiled) {
    if (compiled.size < MAX_COMPILED) return
    compiled.delete(key)
    schema.dispose()
  }
}

function compile(xsd: string, files: ReadonlyMap<string, Buffer>): XsdValidator {
  readable = files
  let document: XmlDocument | undefined
  try {
    document = XmlDocument.fromBuffer(files.get(xsd)!, {
      url: BASE + encodeURI(xsd),
      option: SAFE & ~ParseOption.XML_PARSE_IGNORE_ENC,
    })
    return XsdValidator.fromDoc(document)
  } catch (error) {
    if (!(error instanceof XmlLibError)) throw error
    throw unusable(error.details.map(problem).join('; ') || error.message, error)
  } finally {
    document?.dispose()
    readable = new Map()
  }
}

function problem({ message, file, line }: ErrorDetail): string {
  const where = file?.startsWith(BASE) ? `${decodeURIComponent(file.slice(BASE.length))}, line ${line}: ` : ''
  return where + message.trim().replaceAll(BASE, '')
}
