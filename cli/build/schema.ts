/** Makes the JSON Schema of signalbox.yaml that editors use, with the options of every transport. */
import type { TSchema } from '../../core/schema.ts'
import { transports } from '../../transports/index.ts'
import { ProjectSchema } from '../project.ts'

/** Its name in the published package; projects that `signalbox init` made refer to it. */
export const SCHEMA_FILE = 'signalbox.schema.json'

type Json = Record<string, unknown>

/** The schema of the file, in which the type of a channel or connection decides about its options. */
export function projectFileSchema(): Json {
  const schema = plainCopy(ProjectSchema)
  const properties = schema.properties as Record<string, { items?: Json }>
  for (const side of ['channel', 'connection'] as const) {
    const items = properties[`${side}s`]!.items!
    const known = transports.filter(transport => transport[side] !== undefined)
    const type = (items.properties as Record<string, Json>).type!
    type.enum = known.map(({ name }) => name)
    items.allOf = known.map(transport => ({
      if: { properties: { type: { const: transport.name } }, required: ['type'] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: { properties: { options: asWritten(plainCopy(transport[side]!.options)) } },
    }))
  }
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'signalbox.yaml', ...schema }
}

/** What a person may write: values with a default may be left out, and a number or a yes or no may be a reference. */
function asWritten(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(asWritten)
  if (typeof node !== 'object' || node === null) return node
  const { type, description, ...rest } = node as Json
  if (type === 'integer' || type === 'number' || type === 'boolean') {
    const reference = { type: 'string', pattern: '^\\$\\{(env|secret):[^}]+\\}$' }
    return { ...(description !== undefined && { description }), anyOf: [{ type, ...rest }, reference] }
  }
  const written = Object.fromEntries(Object.entries(node).map(([key, inner]) => [key, asWritten(inner)]))
  if (Array.isArray(rest.required)) {
    const properties = rest.properties as Record<string, Json>
    written.required = (rest.required as string[]).filter(name => properties[name]?.default === undefined)
  }
  return written
}

/** Without the symbols of TypeBox. */
function plainCopy(schema: TSchema): Json {
  return JSON.parse(JSON.stringify(schema)) as Json
}
