/** The part of a generated client that is the same in all of them. It needs nothing but `fetch`. */
export const CLIENT_RUNTIME = `/** An error as the server tells it (RFC 9457). */
export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  instance: string
  /** Stable code, e.g. SIGNALBOX_INPUT_INVALID. */
  code: string
  /** Correlation id: the same in the log of the server. */
  cid: string
  details?: { [name: string]: unknown }
}

/** What a call rejects with when the server answers with an error. */
export class ClientError extends Error {
  readonly status: number
  /** The code of the problem, or HTTP_STATUS when the answer is not a problem. */
  readonly code: string
  readonly problem: Problem | undefined
  /** When to try again, in milliseconds. */
  readonly retryAfterMs: number | undefined

  constructor(status: number, problem: Problem | undefined, text: string, retryAfterMs: number | undefined) {
    super(problem?.detail ?? \`status \${status}: \${text.slice(0, 200)}\`)
    this.name = 'ClientError'
    this.status = status
    this.code = problem?.code ?? 'HTTP_STATUS'
    this.problem = problem
    this.retryAfterMs = retryAfterMs
  }
}

export interface CallOptions {
  signal?: AbortSignal
  headers?: { [name: string]: string }
}

export interface ClientOptions {
  /** Where the servers are, when not where the document says: one address, or a function of the documented one. */
  baseUrl?: string | ((server: string) => string)
  credentials?: Credentials
  /** Sent with every call. */
  headers?: { [name: string]: string }
  /** Longest time for a call, in milliseconds. Default 30,000. */
  timeoutMs?: number
  fetch?: typeof fetch
}

type Token = string | (() => string | Promise<string>)

interface Scheme {
  name: string
  kind: string
  in: string
  parameter: string
}

interface Operation {
  method: string
  server: string
  /** Literal parts as text; parameters as their name and whether they may hold slashes. */
  path: readonly (string | readonly [name: string, wildcard: boolean])[]
  /** Names of security schemes: any of these lists is enough. */
  security: readonly (readonly string[])[]
  /** Media type of the body. */
  type: string
}

interface Input {
  path?: object
  query?: object
  body?: unknown
}

function pathOf(operation: Operation, values: { [name: string]: unknown }): string {
  return operation.path
    .map(part => {
      if (typeof part === 'string') return part
      const [name, wildcard] = part
      const pieces = wildcard ? String(values[name]).split('/') : [String(values[name])]
      // A URL parser takes '.' and '..' for steps in the path, also when they are percent-encoded.
      if (pieces.some(piece => piece === '' || piece === '.' || piece === '..' || piece === 'undefined')) {
        throw new TypeError(\`path parameter \${name}: \${JSON.stringify(values[name])} cannot stand in a path\`)
      }
      return pieces.map(encodeURIComponent).join('/')
    })
    .join('')
}

/** A list is its name with each value. */
function append(to: URLSearchParams, values: object): URLSearchParams {
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) to.append(name, typeof one === 'object' ? JSON.stringify(one) : String(one))
    }
  }
  return to
}

function encodeBody(body: unknown, type: string): NonNullable<RequestInit['body']> {
  if (typeof body === 'string' && !type.endsWith('json')) return body
  if (body instanceof Uint8Array || body instanceof Blob || body instanceof URLSearchParams) return body as NonNullable<RequestInit['body']>
  if (type === 'application/x-www-form-urlencoded') return append(new URLSearchParams(), body as object)
  return JSON.stringify(body)
}

async function decode(response: Response): Promise<unknown> {
  if (response.status === 204 || response.headers.get('content-length') === '0') return undefined
  const type = response.headers.get('content-type')?.split(';', 1)[0] ?? ''
  if (/[/+]json$/.test(type)) return await response.json()
  return type.startsWith('text/') || /[/+]xml$/.test(type) ? await response.text() : await response.blob()
}

async function errorOf(response: Response): Promise<ClientError> {
  const text = await response.text()
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json') ?? false
  return new ClientError(response.status, isProblem ? (JSON.parse(text) as Problem) : undefined, text, retryAfterMs)
}

function base64(text: string): string {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)))
}

class Caller {
  readonly #options: ClientOptions

  constructor(options: ClientOptions) {
    this.#options = options
  }

  async call(operation: Operation, input: Input, options: CallOptions): Promise<unknown> {
    const { baseUrl, timeoutMs = 30_000 } = this.#options
    const base = typeof baseUrl === 'function' ? baseUrl(operation.server) : (baseUrl ?? operation.server)
    const url = new URL(base.replace(/\\/+$/, '') + pathOf(operation, (input.path ?? {}) as { [name: string]: unknown }))
    append(url.searchParams, input.query ?? {})
    const headers = new Headers({ ...this.#options.headers, ...options.headers })
    await this.#authorize(operation, url, headers)
    const hasBody = input.body !== undefined
    if (hasBody && !headers.has('content-type') && operation.type !== '*/*') headers.set('content-type', operation.type)
    const deadline = AbortSignal.timeout(timeoutMs)
    const response = await (this.#options.fetch ?? fetch)(url, {
      method: operation.method,
      headers,
      signal: options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]),
      ...(hasBody && { body: encodeBody(input.body, operation.type) }),
    })
    if (!response.ok) throw await errorOf(response)
    return await decode(response)
  }

  /** Adds the credentials of the first security requirement for which there are all. */
  async #authorize(operation: Operation, url: URL, headers: Headers): Promise<void> {
    const given = (this.#options.credentials ?? {}) as { [name: string]: { [part: string]: unknown } | undefined }
    const usable = (name: string) => Object.hasOwn(given, name) || SCHEMES.find(one => one.name === name)?.kind === 'mutualTLS'
    const chosen = operation.security.find(names => names.every(usable))
    for (const name of chosen ?? []) {
      const scheme = SCHEMES.find(one => one.name === name)
      const credentials = given[name]
      if (scheme === undefined || credentials === undefined) continue
      if (scheme.kind === 'basic') {
        headers.set('authorization', \`Basic \${base64(\`\${credentials.username}:\${credentials.password}\`)}\`)
      } else if (scheme.kind === 'bearer') {
        const token = credentials.token as Token
        headers.set('authorization', \`Bearer \${typeof token === 'function' ? await token() : token}\`)
      } else if (scheme.in === 'query') url.searchParams.set(scheme.parameter, String(credentials.apiKey))
      else if (scheme.in === 'cookie') headers.append('cookie', \`\${scheme.parameter}=\${encodeURIComponent(String(credentials.apiKey))}\`)
      else headers.set(scheme.parameter, String(credentials.apiKey))
    }
  }
}
`
