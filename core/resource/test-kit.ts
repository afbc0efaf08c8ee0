/** Resources for tests. */
import { Type } from '../schema.ts'
import type { Resource, ResourceKinds } from './resource.ts'

const TestOptions = Type.Object(
  {
    port: Type.Integer({ minimum: 1, maximum: 65_535, default: 80 }),
    fast: Type.Boolean({ default: false }),
    secret: Type.Optional(Type.String({ pattern: '^[0-9a-f]{16}$', secret: true })),
    mode: Type.Union([Type.Literal('a'), Type.Literal('b')], { default: 'a' }),
    users: Type.Optional(Type.Array(Type.Object({ pin: Type.String({ secret: true }) }))),
    tls: Type.Optional(Type.Object({ on: Type.Boolean({ default: true }) }, { additionalProperties: false })),
  },
  { additionalProperties: false },
)
const NeedsOptions = Type.Object({ queue: Type.String({ minLength: 1 }) }, { additionalProperties: false })

/** `test` has channels and connections, `queue` only channels; security has `key`. */
export const KINDS: ResourceKinds = {
  schemaOf(kind, type) {
    if (kind === 'security') return type === 'key' ? TestOptions : undefined
    if (type === 'test') return TestOptions
    return kind === 'channel' && type === 'queue' ? NeedsOptions : undefined
  },
  types(kind) {
    if (kind === 'security') return ['key']
    return kind === 'channel' ? ['test', 'queue'] : ['test']
  },
}

export function channel(name: string, options: unknown): Resource {
  return { kind: 'channel', type: 'test', name, options }
}
