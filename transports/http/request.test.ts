/** Hostile input of requests and answers, at random. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../../core/errors.ts'
import { toFailure } from './failure.ts'
import { checkHeaders, encodeBody, methodOf, urlBelow } from './request.ts'
import { parsePayload } from './response.ts'
import { TargetGuard } from './target-guard.ts'

const BASE = new URL('https://api.example.com:8443/v1/')
const RUNS = { numRuns: 2_000 }

/** The value, or undefined when it was refused with a typed error. */
function orRefused<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    assert.ok(error instanceof SignalboxError, String(error))
    return undefined
  }
}

const nasty = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .array(
      fc.constantFrom(
        '/',
        '..',
        '.',
        '%2e',
        '%2E',
        '\\',
        '@',
        ':',
        '//',
        '?',
        '#',
        '{a}',
        'x',
        '\t',
        '\n',
        '%2f',
      ),
      { maxLength: 12 },
    )
    .map(parts => parts.join('')),
)

test('no path, parameter or query leaves the base URL', () => {
  const check = (path: string, a: string, q: string) => {
    const url = orRefused(() =>
      urlBelow(BASE, { path: `/${path}`, ...(path.includes('{a}') && { pathParams: { a } }), query: { q } }),
    )
    if (!url) return
    assert.equal(url.origin, BASE.origin)
    assert.ok(url.pathname.startsWith('/v1/'), url.pathname)
    assert.equal(url.username + url.password + url.hash, '')
  }
  fc.assert(fc.property(nasty, nasty, fc.string({ unit: 'grapheme' }), check), RUNS)
})

test('a path parameter stays one segment and comes back as it was', () => {
  const check = (id: string) => {
    const url = orRefused(() => urlBelow(BASE, { path: '/items/{id}/end', pathParams: { id } }))
    if (!url) return
    const segments = url.pathname.split('/')
    assert.equal(segments.length, 5)
    assert.equal(decodeURIComponent(segments[3]!), id)
  }
  fc.assert(fc.property(fc.string({ unit: 'grapheme' }), check), RUNS)
})

test('no header that is accepted can begin another', () => {
  const check = (name: string, value: string) => {
    const headers = orRefused(() => checkHeaders({ [name]: value }))
    for (const [accepted, content] of Object.entries(headers ?? {})) {
      assert.match(accepted, /^[!#$%&'*+\-.^_`|~0-9a-z]+$/)
      assert.ok(!/[\r\n\0]/.test(content))
    }
  }
  const line = fc
    .array(fc.constantFrom('\r', '\n', '\0', 'a', ':', ' ', 'é', '日', '\x7f', '\t'))
    .map(parts => parts.join(''))
  fc.assert(fc.property(fc.oneof(fc.constant('x-a'), fc.string({ unit: 'binary' })), line, check), RUNS)
})

test('methods are one of the usual kind or refused', () => {
  const check = (method: string) => {
    const accepted = orRefused(() => methodOf({ method }))
    if (accepted !== undefined) assert.match(accepted, /^[A-Z-]+$/)
  }
  fc.assert(fc.property(fc.string({ unit: 'binary' }), check), RUNS)
  for (const method of ['CONNECT', 'connect', 'TRACE', ''])
    assert.equal(
      orRefused(() => methodOf({ method })),
      undefined,
    )
})

test('what has no JSON form, and more than one body, is refused', () => {
  const cycle: Record<string, unknown> = {}
  cycle.self = cycle
  for (const json of [cycle, 1n, () => {}, Symbol('x')]) {
    assert.throws(() => encodeBody({ json }), { code: 'SIGNALBOX_CODEC_UNENCODABLE' })
  }
  assert.throws(() => encodeBody({ body: 'a', json: 1 }), { code: 'SIGNALBOX_USAGE' })
})

test('an answer of any type and any bytes is parsed or refused', () => {
  const type = fc.oneof(
    fc.constantFrom(
      'application/json',
      'text/plain; charset=nonsense',
      'text/html;charset="',
      'a/b+json',
      ';',
      '/',
      '',
    ),
    fc.string({ unit: 'binary' }),
  )
  const check = (contentType: string, bytes: Uint8Array) => {
    orRefused(() => parsePayload(Buffer.from(bytes), contentType))
  }
  fc.assert(fc.property(type, fc.uint8Array(), check), RUNS)
  assert.equal(parsePayload(Buffer.from([0xe4]), 'text/plain; charset=iso-8859-1'), 'ä')
  assert.equal(parsePayload(Buffer.from('\ufeff{"a":1}'), 'application/problem+json') instanceof Object, true)
})

test('inside addresses are refused in every notation', () => {
  const guard = new TargetGuard([])
  const octets = fc.oneof(
    fc.tuple(fc.constantFrom(10, 127, 0, 224, 240, 255), fc.nat(255), fc.nat(255), fc.nat(255)),
    fc.tuple(fc.constantFrom(192), fc.constant(168), fc.nat(255), fc.nat(255)),
    fc.tuple(fc.constantFrom(169), fc.constant(254), fc.nat(255), fc.nat(255)),
    fc.tuple(fc.constantFrom(172), fc.integer({ min: 16, max: 31 }), fc.nat(255), fc.nat(255)),
  )
  const part = (n: number, form: number) => [String(n), `0x${n.toString(16)}`, `0${n.toString(8)}`][form]!
  const check = ([a, b, c, d]: [number, number, number, number], forms: number[], shape: number) => {
    const whole = a * 2 ** 24 + b * 65_536 + c * 256 + d
    const dotted = [a, b, c, d].map((n, i) => part(n, forms[i]!)).join('.')
    const hosts = [
      dotted,
      part(whole, forms[0]!),
      `${part(a, forms[1]!)}.${part(whole % 2 ** 24, forms[2]!)}`,
    ]
    const words = `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
    hosts.push(`[::ffff:${words}]`, `[64:ff9b::${words}]`, `[2002:${words}::]`, `[::${words}]`)
    const url = `http://${hosts[shape]}/`
    assert.throws(() => guard.checkUrl(new URL(url)), { code: 'SIGNALBOX_TARGET_FORBIDDEN' }, url)
  }
  const forms = fc.array(fc.nat(2), { minLength: 4, maxLength: 4 })
  fc.assert(fc.property(octets, forms, fc.nat(6), check), RUNS)
})

const coded = (code: string, extra: object = {}) => Object.assign(new Error(code), { code, ...extra })

/** Errors as Node and undici raise them, our code, and whether the request may have reached the server. */
const SAMPLES: [Error, string, boolean | undefined][] = [
  [coded('ECONNREFUSED', { syscall: 'connect' }), 'SIGNALBOX_CONNECT_FAILED', false],
  [new AggregateError([coded('ECONNREFUSED')]), 'SIGNALBOX_CONNECT_FAILED', false],
  [coded('ENOTFOUND'), 'SIGNALBOX_CONNECT_FAILED', false],
  [coded('UND_ERR_CONNECT_TIMEOUT'), 'SIGNALBOX_CONNECT_FAILED', false],
  [coded('ETIMEDOUT', { syscall: 'connect' }), 'SIGNALBOX_CONNECT_FAILED', false],
  [coded('ETIMEDOUT', { syscall: 'read' }), 'SIGNALBOX_CONNECT_FAILED', true],
  [coded('ECONNRESET'), 'SIGNALBOX_CONNECT_FAILED', true],
  [coded('UND_ERR_SOCKET'), 'SIGNALBOX_CONNECT_FAILED', true],
  [coded('ERR_SSL_WRONG_VERSION_NUMBER'), 'SIGNALBOX_CONNECT_FAILED', false],
  [coded('CERT_HAS_EXPIRED'), 'SIGNALBOX_TLS_UNVERIFIED', false],
  [coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'SIGNALBOX_TLS_UNVERIFIED', false],
  [coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'SIGNALBOX_TLS_UNVERIFIED', false],
  [coded('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', false],
  [coded('UND_ERR_HEADERS_TIMEOUT'), 'SIGNALBOX_TIMEOUT_DEADLINE', undefined],
  [coded('UND_ERR_BODY_TIMEOUT'), 'SIGNALBOX_TIMEOUT_DEADLINE', undefined],
  [coded('HPE_INVALID_HEADER_TOKEN'), 'SIGNALBOX_FORMAT_INVALID', true],
  [coded('UND_ERR_HEADERS_OVERFLOW'), 'SIGNALBOX_FORMAT_LIMIT', true],
  [coded('UND_ERR_DESTROYED'), 'SIGNALBOX_NOT_CONNECTED', undefined],
]

test('errors of undici, sockets and TLS have their codes', () => {
  for (const [error, code, sent] of SAMPLES) {
    const failure = toFailure(error, 'GET http://x')
    assert.equal(failure.code, code, error.message)
    assert.equal(failure.details?.sent, sent, error.message)
  }
})
