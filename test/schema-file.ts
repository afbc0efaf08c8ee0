/** Writes signalbox.schema.json, the JSON Schema of project files: `npm run docs`. */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { resourceKinds } from '../cli/resource-kinds.ts'
import { projectFileSchema } from '../core/resource/project-schema.ts'

const SCHEMA_FILE = fileURLToPath(new URL('../signalbox.schema.json', import.meta.url))

/** The text of the file as it is. */
export function writtenSchema(): string {
  return readFileSync(SCHEMA_FILE, 'utf8')
}

/** The text of the file as it should be. */
export function schemaFile(): string {
  return `${JSON.stringify(projectFileSchema(resourceKinds), undefined, 2)}\n`
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
  if (values.write) writeFileSync(SCHEMA_FILE, schemaFile())
  else process.stdout.write(schemaFile())
}
