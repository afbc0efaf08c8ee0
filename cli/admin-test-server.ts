/** An HTTP server with canned answers at the paths of the admin API, and a way to run the command line against it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import findMyWay, { type HTTPMethod } from 'find-my-way'
import { ADMIN_ROUTES } from '../actors/admin/routes.ts'

export const TOKEN = 'test-token-0123456789'
const MAIN = fileURLToPath(new URL('main.ts', import.meta.url))
const RUN_TIMEOUT_MS = 60_000

/** A request as it came. */
export interface Seen {
  handler: string
  params: Record<string, string | undefined>
  query: Record<string, string>
  body: string
  ifMatch: string | undefined
}

/** What a handler answers: a value for JSON, a {@link Reply}, or an error's problem details. */
export type Answer = unknown | Reply

export class Reply {
  readonly status: number
  readonly type: string
  readonly body: string

  constructor(status: number, type: string, body: string) {
    this.status = status
    this.type = type
    this.body = body
  }
}

/** Problem details (RFC 9457). */
export function problem(status: number, code: string, detail: string, more: object = {}): Reply {
  return new Reply(status, 'application/problem+json', JSON.stringify({ status, code, detail, ...more }))
}

export interface AdminTestServer extends AsyncDisposable {
  url: string
  seen: Seen[]
}

/** Serves `answers` by the name of the handler; a route that needs a permission needs the token. */
export async function adminTestServer(
  answers: Record<string, Answer | ((seen: Seen) => Answer)>,
): Promise<AdminTestServer> {
  const seen: Seen[] = []
  const router = findMyWay({
    defaultRoute: (_request, response) => send(response, problem(404, 'SIGNALBOX_NOT_FOUND', 'no such path')),
  })
  for (const { method, path, handler, permission } of ADMIN_ROUTES) {
    router.on(method as HTTPMethod, path, async (request, response, params, _store, query) => {
      if (permission && request.headers.authorization !== `Bearer ${TOKEN}`) {
        send(response, problem(401, 'SIGNALBOX_UNAUTHENTICATED', 'the token is missing or wrong'))
        return
      }
      const body = await text(request)
      const ifMatch = request.headers['if-match']
      const one: Seen = { handler, params, query: { ...query } as Record<string, string>, body, ifMatch }
      seen.push(one)
      const answer = answers[handler]
      send(response, typeof answer === 'function' ? answer(one) : answer)
    })
  }
  const server = createServer((request: IncomingMessage, response) => router.lookup(request, response))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

function send(response: ServerResponse, answer: Answer): void {
  if (answer === undefined) {
    response.writeHead(204).end()
    return
  }
  const reply = answer instanceof Reply ? answer : new Reply(200, 'application/json', JSON.stringify(answer))
  response.writeHead(reply.status, { 'content-type': reply.type }).end(reply.body)
}

export interface RunResult {
  code: number | null
  out: string
  err: string
}

export interface RunOptions {
  input?: string
  cwd?: string
  env?: Record<string, string | undefined>
}

/** Runs the command line as a process of its own. Without `url` in the environment it finds no node. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { SIGNALBOX_URL: _url, SIGNALBOX_TOKEN: _token, FORCE_COLOR: _colour, ...inherited } = process.env
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: options.cwd ?? process.cwd(),
    env: { ...inherited, NO_COLOR: '1', TZ: 'UTC', ...options.env },
    timeout: RUN_TIMEOUT_MS,
  })
  child.stdin.on('error', () => {}) // it may end before it has read its input
  child.stdin.end(options.input ?? '')
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')])
  return { code: code as number | null, out, err }
}

/** Runs it against a server. */
export function runAt(
  server: AdminTestServer,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const env = { SIGNALBOX_URL: server.url, SIGNALBOX_TOKEN: TOKEN, ...options.env }
  return run(args, { ...options, env })
}
