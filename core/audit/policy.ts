/** What of each message the audit log keeps: the `audit` section of signalbox.yaml. */
import { matchesGlob } from 'node:path'
import { type Static, Type } from '../schema.ts'
import { isSecretName } from '../telemetry/redact.ts'
import { Masker } from './mask.ts'

const DAY_MS = 86_400_000
const GIB = 1024 ** 3
const Name = Type.String({ minLength: 1, maxLength: 256 })

/** Options of the audit log. */
export const AuditOptions = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ default: true, description: 'Whether messages are recorded.' })),
    bodies: Type.Optional(
      Type.Union([Type.Literal('none'), Type.Literal('errors'), Type.Literal('all')], {
        default: 'none',
        description:
          'Whose bodies are kept: nobody’s, those of steps that failed, or all. Only these can be sent again.',
      }),
    ),
    maxBodyBytes: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_048_576,
        default: 16_384,
        description: 'Larger bodies are left out, bytes.',
      }),
    ),
    headers: Type.Optional(
      Type.Array(Name, {
        maxItems: 64,
        default: ['content-type', 'user-agent', 'message-id'],
        description: 'Headers that are kept. Those that hold credentials never are.',
      }),
    ),
    mask: Type.Optional(
      Type.Array(Name, {
        maxItems: 256,
        default: [],
        description:
          'What is masked in bodies: names of fields at any depth, and JSON Pointers (RFC 6901). Telling names such as password are always masked.',
      }),
    ),
    services: Type.Optional(
      Type.Boolean({ default: false, description: 'Whether each call of a service is a record too.' }),
    ),
    maxAgeMs: Type.Optional(
      Type.Integer({ minimum: 60_000, default: 7 * DAY_MS, description: 'Older records go, ms.' }),
    ),
    maxBytes: Type.Optional(
      Type.Integer({
        minimum: 1_048_576,
        maximum: 16 * GIB,
        default: GIB,
        description: 'What the log may take on disk; beyond, the oldest records go, bytes.',
      }),
    ),
    exclude: Type.Optional(
      Type.Array(Name, {
        maxItems: 256,
        default: [],
        description: 'What is not recorded: names, or globs of addresses, e.g. channel/http/health*.',
      }),
    ),
  },
  {
    additionalProperties: false,
    description: 'The record of what passes channels, connections, queues and topics.',
  },
)

/** As it is written. */
export type AuditOptions = Static<typeof AuditOptions>
/** With its defaults. Plain data that travels to the workers. */
export type AuditSettings = Required<AuditOptions>

/** Default retention and policy; see {@link AuditOptions}. */
export const DEFAULT_AUDIT: AuditSettings = {
  enabled: true,
  bodies: 'none',
  maxBodyBytes: 16_384,
  headers: ['content-type', 'user-agent', 'message-id'],
  mask: [],
  services: false,
  maxAgeMs: 7 * DAY_MS,
  maxBytes: GIB,
  exclude: [],
}

/** The settings with what is not said filled in. */
export function auditSettings(options: AuditOptions | undefined): AuditSettings {
  return { ...DEFAULT_AUDIT, ...options }
}

/** Addresses whose answer is remembered; names of channels and queues are not many. */
const MAX_KNOWN = 10_000

/** A policy, ready to be asked for each message. */
export class AuditPolicy {
  readonly settings: AuditSettings
  readonly masker: Masker
  /** In lower case, without those that hold credentials. */
  readonly headers: readonly string[]
  readonly #excluded = new Map<string, boolean>()

  constructor(settings: AuditSettings) {
    this.settings = settings
    this.masker = new Masker(settings.mask, settings.maxBodyBytes)
    this.headers = [...new Set(settings.headers.map(name => name.toLowerCase()))].filter(
      name => !isSecretName(name),
    )
  }

  /** Whether steps at this address are recorded. */
  includes(address: string): boolean {
    if (this.settings.exclude.length === 0) return true
    let excluded = this.#excluded.get(address)
    if (excluded === undefined) {
      excluded = this.#excludes(address)
      if (this.#excluded.size < MAX_KNOWN) this.#excluded.set(address, excluded)
    }
    return !excluded
  }

  /** Those of the headers that are kept. */
  headersOf(
    headers: Readonly<Record<string, string>> | undefined,
  ): (readonly [string, string])[] | undefined {
    if (headers === undefined) return undefined
    let kept: (readonly [string, string])[] | undefined
    for (const name of this.headers) {
      const value: unknown = headers[name]
      if (typeof value !== 'string') continue
      kept ??= []
      kept.push([name, value])
    }
    return kept
  }

  #excludes(address: string): boolean {
    const name = address.slice(address.lastIndexOf('/') + 1)
    return this.settings.exclude.some(
      pattern => pattern === address || pattern === name || matchesGlob(address, pattern),
    )
  }
}
