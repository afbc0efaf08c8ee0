/** Which files make up an XML Schema. */
import { SignalboxError } from '../../errors.ts'
import { parseXml, type XmlElement } from '../xml.ts'
import { type SchemaFolder, unusable } from './schema-files.ts'

const XSD = 'http://www.w3.org/2001/XMLSchema'
const REFERRING = ['include', 'import', 'redefine']

/**
 * The schema at a path and all that it includes, imports and redefines, by path, each read once.
 * Throws SIGNALBOX_SCHEMA_INVALID for what is no file of the folder.
 */
export function collectXsd(folder: SchemaFolder, main: string): ReadonlyMap<string, Buffer> {
  const open = [main]
  const seen = new Set(open)
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    for (const reference of referencesOf(parse(path, folder.read(path)))) {
      const next = folder.resolve(reference, path)
      if (next === undefined) {
        throw unusable(`'${reference}' in ${path} is no path: nothing is fetched, put a copy beside it`)
      }
      if (seen.has(next)) continue
      seen.add(next)
      open.push(next)
    }
  }
  return new Map(folder.files)
}

function parse(path: string, bytes: Buffer): XmlElement {
  let root: XmlElement
  try {
    root = parseXml(bytes)
  } catch (error) {
    if (!(error instanceof SignalboxError)) throw error
    throw unusable(`${path}: ${error.message}`, error)
  }
  if (root.name === 'schema' && root.namespace === XSD) return root
  throw unusable(`${path} is no XML Schema`)
}

function referencesOf(schema: XmlElement): string[] {
  return schema
    .children(undefined, XSD)
    .filter(child => REFERRING.includes(child.name))
    .map(child => child.attribute('schemaLocation')?.trim())
    .filter(location => location !== undefined)
}
