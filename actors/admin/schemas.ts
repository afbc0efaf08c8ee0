/** What each handler of the admin API takes and answers. The table of routes names the handlers. */
import { AuditQuery } from '../../core/audit/query.ts'
import { type TSchema, Type } from '../../core/schema.ts'
import { SECRET_NAME } from '../../core/security/secrets.ts'
import { KEPT_SCHEMAS } from './kept-schemas.ts'
import * as views from './views.ts'

export const MAX_INVOKE_MS = 600_000
const DEFAULT_INVOKE_MS = 30_000
const MAX_WORKERS = 1024

/** Input and output of a handler. Absent: there is none. */
export interface HandlerSchema {
  params?: TSchema
  query?: TSchema
  /** Of a JSON body; a text body is any text. */
  body?: TSchema
  answer?: TSchema
  /** Media type of the answer when it is not JSON. */
  answerType?: string
  /** Answers in addition to the usual ones: status and meaning. */
  statuses?: Record<number, string>
  /** Whether it takes If-Match: the revision of a resource, or the etag of a difference. */
  conditional?: 'revision' | 'etag'
}

/** Parts of letters, digits and `_ . $ : -` divided by slashes, none of which begins with a dot. */
const NAME = '^(?!\\.)[A-Za-z0-9_.$:-]+(/(?!\\.)[A-Za-z0-9_.$:-]+)*$'
/** The same, and after `#` the key of a keyed service: anything but control characters. */
const SERVICE = `${NAME.slice(0, -1)}(#[^\\p{Cc}]+)?$`
/** Below `services/`: no hidden part, no `..`, nothing absolute, only sources. */
const FILE = '^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*(?<!\\.d)\\.(ts|mts|js|mjs)$'

/** Below `routes/`, the same. */
const ROUTE_FILE = FILE.replace('(ts|', '(ya?ml|ts|')

const closed = { additionalProperties: false }
const Name = Type.String({ pattern: NAME, maxLength: 256 })
const Word = Type.String({ pattern: '^[A-Za-z][A-Za-z0-9_-]*$', maxLength: 64 })
const Service = Type.Object(
  {
    name: Type.String({
      pattern: SERVICE,
      maxLength: 500,
      description: 'Name of the service; of a keyed one with its key, percent-encoded: account%2342',
    }),
  },
  closed,
)
const Secret = Type.Object(
  {
    name: Type.String({
      pattern: SECRET_NAME,
      maxLength: 128,
      description: 'Percent-encoded where it has slashes: erp%2Fpassword',
    }),
  },
  closed,
)
/** Names of security definitions, parted by commas. */
const SECURITY_LIST = '^([A-Za-z][A-Za-z0-9_.-]*(,[A-Za-z][A-Za-z0-9_.-]*)*)?$'
const Resource = Type.Object({ kind: Word, type: Word, name: Name }, closed)
const File = Type.Object(
  {
    '*': Type.String({
      pattern: FILE,
      maxLength: 255,
      description: "Path below services/, e.g. 'orders/create.ts'",
    }),
  },
  closed,
)
const RouteFile = Type.Object(
  {
    '*': Type.String({
      pattern: ROUTE_FILE,
      maxLength: 255,
      description: "Path below routes/, e.g. 'orders/intake.yaml'",
    }),
  },
  closed,
)
const Filter = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 512, description }))

const Timeout = Type.Object(
  {
    timeoutMs: Type.Integer({
      minimum: 1,
      maximum: MAX_INVOKE_MS,
      default: DEFAULT_INVOKE_MS,
      description: 'How long to wait for the answer, in milliseconds',
    }),
  },
  closed,
)
const Cid = Type.Object(
  { cid: Type.String({ minLength: 1, maxLength: 256, description: 'Correlation id, percent-encoded' }) },
  closed,
)
const RecordId = Type.Object(
  {
    id: Type.String({
      pattern: '^[0-9a-z]{1,11}-[0-9a-z]{1,11}-[0-9a-z]{1,5}$',
      maxLength: 29,
      description: 'Id of a recorded step',
    }),
  },
  closed,
)

/** By name of the handler. */
export const SCHEMAS = {
  live: { answer: views.Health, statuses: { 503: 'It does not' } },
  ready: { answer: views.Health, statuses: { 503: 'It does not; the reasons say why' } },
  metrics: { answer: Type.String(), answerType: 'text/plain; version=0.0.4; charset=utf-8' },
  docs: { answer: Type.String(), answerType: 'text/html; charset=utf-8' },
  openapi: { answer: Type.Record(Type.String(), Type.Unknown()) },
  adminOpenapi: { answer: Type.Record(Type.String(), Type.Unknown()) },
  node: { answer: views.NodeSchema },
  scale: {
    body: Type.Object({ count: Type.Integer({ minimum: 1, maximum: MAX_WORKERS }) }, closed),
    answer: views.Workers,
  },
  services: { answer: views.Services },
  invoke: {
    params: Service,
    query: Timeout,
    body: Type.Unknown(),
    answer: Type.Unknown(),
    statuses: { 204: 'The service answered nothing' },
  },
  deploy: { params: File, answer: views.Deployed },
  undeploy: { params: File },
  deployRoute: { params: RouteFile, answer: views.Deployed },
  undeployRoute: { params: RouteFile },
  resources: {
    query: Type.Object({ kind: Type.Optional(Word) }, closed),
    answer: views.Resources,
  },
  resource: { params: Resource, answer: views.ResourceSchema },
  put: {
    params: Resource,
    query: Type.Object(
      {
        security: Type.Optional(
          Type.String({
            pattern: SECURITY_LIST,
            maxLength: 4224,
            description:
              'Of a channel: the security definitions of which one must let a message in, parted by commas; empty: ' +
              'all messages come in. Absent: as it is now.',
          }),
        ),
      },
      closed,
    ),
    body: Type.Record(Type.String(), Type.Unknown(), { description: 'The options' }),
    answer: views.ResourceSchema,
    conditional: 'revision',
  },
  remove: { params: Resource, conditional: 'revision' },
  ping: { params: Resource, answer: views.Ping },
  diff: { answer: views.Applied },
  apply: { answer: views.Applied, conditional: 'etag' },
  export: { answer: Type.String(), answerType: 'application/yaml; charset=utf-8' },
  secrets: { answer: views.SecretNames },
  setSecret: { params: Secret },
  removeSecret: { params: Secret },
  tail: {
    query: Type.Object(
      {
        name: Filter('Glob over addresses, e.g. service/invoices.*'),
        cid: Filter('Correlation id'),
        outcome: Filter('An error code, ok or failed'),
      },
      closed,
    ),
    answer: Type.String({
      description: 'Events `message` (a step, as JSON), `skipped` ({"count": n}) and `end`',
    }),
    answerType: 'text/event-stream',
  },
  messages: { query: AuditQuery, answer: views.Messages },
  trail: { params: Cid, answer: views.TrailSchema },
  messageBody: { params: RecordId, answer: views.Message },
  replay: { params: RecordId, query: Timeout, answer: views.Replayed },
  audit: {
    query: Type.Object(
      {
        after: Type.Integer({ minimum: 0, default: 0, description: 'Only entries with a greater seq' }),
        limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
      },
      closed,
    ),
    answer: views.Audit,
  },
  verifyAudit: { answer: views.AuditCheck },
  ...KEPT_SCHEMAS,
} as const satisfies Record<string, HandlerSchema>

export type HandlerName = keyof typeof SCHEMAS
