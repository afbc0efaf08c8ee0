/** The JSON Schema of `signalbox.yaml`, for editors: they complete and check the options of every type. */
import type { TSchema } from '../schema.ts'
import { acceptReferences } from './reference-schema.ts'
import {
  ENTRY_SCHEMAS,
  ONLY_TYPE,
  RESOURCE_LISTS,
  type ResourceKind,
  type ResourceKinds,
} from './resource.ts'
import { SettingsSchema, type SettingsSchemas } from './settings.ts'

type JsonSchema = Record<string, unknown>

/**
 * One schema (JSON Schema draft-07, which editors know best) for the whole file, with a branch for each type. A
 * reference is allowed where a value is.
 */
export function projectFileSchema(kinds: ResourceKinds, { telemetry }: SettingsSchemas = {}): JsonSchema {
  const { properties, ...rest } = plain(acceptReferences(SettingsSchema))
  const lists = RESOURCE_LISTS.map(({ key, kind, description }) => [
    key,
    { description, type: ['array', 'null'], items: entrySchema(kind, kinds) },
  ])
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'signalbox.yaml',
    description: 'A project of Signalbox: the settings of a node and everything that is configured on it.',
    ...rest,
    properties: {
      ...(properties as JsonSchema),
      ...(telemetry && { telemetry: plain(acceptReferences(telemetry)) }),
      ...Object.fromEntries(lists),
    },
  }
}

function entrySchema(kind: ResourceKind, kinds: ResourceKinds): JsonSchema {
  const { properties, ...rest } = plain(ENTRY_SCHEMAS[kind])
  const types = kinds.types(kind)
  const { description } = (properties as Record<string, JsonSchema>).type!
  return {
    ...rest,
    properties: { ...(properties as JsonSchema), type: { enum: types, description } },
    allOf: types.map(type => branch(kind, type, kinds)),
  }
}

function branch(kind: ResourceKind, type: string, kinds: ResourceKinds): JsonSchema {
  const options = plain(acceptReferences(kinds.schemaOf(kind, type)!))
  return {
    if: {
      ...(type !== ONLY_TYPE[kind] && { required: ['type'] }),
      properties: { type: { const: type } },
    },
    // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
    then: { properties: { options }, ...(options.required !== undefined && { required: ['options'] }) },
  }
}

/** As JSON, without what only this program understands. */
function plain(schema: TSchema): JsonSchema {
  const text = JSON.stringify(schema, (key, value) =>
    ((key === 'secret' || key === 'file') && value === true) || (key === 'names' && typeof value === 'string')
      ? undefined
      : value,
  )
  return JSON.parse(text) as JsonSchema
}
