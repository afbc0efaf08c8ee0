/**
 * Documents that are made to exhaust a parser or to make it read files and addresses, through every way into XML: each
 * is refused at once, by what it costs the thread, and nothing is read.
 */
import assert from 'node:assert/strict'
import fs, { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { SignalboxError } from '../../core/errors.ts'
import { parseBody } from '../../core/message/formats.ts'
import { hashXsd } from '../../core/message/validate/xsd.ts'
import validateXsd from '../../core/message/validate/xsd-task.ts'
import { parseXml } from '../../core/message/xml.ts'
import { splitXml } from '../../core/message/xml-split.ts'

/** Time of this thread alone, so that a busy machine does not count. */
const MAX_CPU_MS = 50
/** The collector of garbage, and the compiler, may take a share of one try. */
const TRIES = 5
const SECRET = 'canary-9fe1'
const LIMITS = { maxDepth: 256 }

const folder = mkdtempSync(join(tmpdir(), 'signalbox-xml-'))
const canary = join(folder, 'canary.txt')
const canaryUrl = pathToFileURL(canary).href
const opened: string[] = []
const functions = ['open', 'openSync', 'readFile', 'readFileSync', 'createReadStream'] as const
const originals = new Map<string, unknown>()
let requests = 0
let server: Server
let url: string
let xsdKey: string

before(async () => {
  writeFileSync(canary, SECRET)
  writeFileSync(
    join(folder, 'any.xsd'),
    '<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:element name="a" type="xs:anyType"/></xs:schema>',
  )
  xsdKey = hashXsd(pathToFileURL(`${folder}/`).href, 'any.xsd').key
  server = createServer((_, response) => {
    requests++
    response.end(SECRET)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`
  for (const name of functions) {
    const original = fs[name] as (...args: unknown[]) => unknown
    originals.set(name, original)
    Object.assign(fs, {
      [name]: (...args: unknown[]) => {
        opened.push(String(args[0]))
        return original(...args)
      },
    })
  }
  syncBuiltinESMExports()
})

after(() => {
  for (const [name, original] of originals) Object.assign(fs, { [name]: original })
  syncBuiltinESMExports()
  server.close()
  rmSync(folder, { recursive: true })
})

/** Every way in: what it makes of the document, or the error. */
const WAYS: Record<string, (document: Buffer) => unknown> = {
  parser: document => parseXml(document, LIMITS),
  format: document => parseBody('xml', document, LIMITS),
  XSD: document =>
    validateXsd({
      folder: pathToFileURL(`${folder}/`).href,
      xsd: 'any.xsd',
      key: xsdKey,
      document,
      maxBytes: 64 * 1024 * 1024,
    }),
  SOAP: document => parseBody('soap', document, LIMITS),
  split: async document => {
    const records: unknown[] = []
    for await (const record of splitXml([document], LIMITS)) records.push(record)
    return records
  },
}

const DOCTYPE_CASES = () => {
  const laughs = Array.from({ length: 9 }, (_, i) => `<!ENTITY l${i + 1} "${`&l${i};`.repeat(10)}">`).join('')
  return {
    'billion laughs': [`<!DOCTYPE a [<!ENTITY l0 "lol">${laughs}]>`, '&l9;'],
    'quadratic blow-up': [`<!DOCTYPE a [<!ENTITY b "${'b'.repeat(100_000)}">]>`, '&b;'.repeat(100_000)],
    'an external file': [`<!DOCTYPE a [<!ENTITY f SYSTEM "${canaryUrl}">]>`, '&f;'],
    'a file by its path': [`<!DOCTYPE a [<!ENTITY f SYSTEM "${canary}">]>`, '&f;'],
    'an external address': [`<!DOCTYPE a [<!ENTITY f SYSTEM "${url}">]>`, '&f;'],
    'a public address': [`<!DOCTYPE a [<!ENTITY f PUBLIC "-//a" "${url}">]>`, '&f;'],
    'a parameter entity': [`<!DOCTYPE a [<!ENTITY % p SYSTEM "${url}"> %p;]>`, ''],
    'an external definition': [`<!DOCTYPE a SYSTEM "${canaryUrl}">`, '&f;'],
    'an external definition elsewhere': [`<!DOCTYPE a SYSTEM "${url}">`, '&f;'],
  } satisfies Record<string, [string, string]>
}

const LIMIT_CASES = () => ({
  'elements 20,000 deep': [`${'<a>'.repeat(20_000)}${'</a>'.repeat(20_000)}`, 'maxDepth'],
  '1,000,000 attributes': [
    `<a${Array.from({ length: 1_000_000 }, (_, i) => ` a${i}=""`).join('')}/>`,
    'maxAttributes',
  ],
  '1,000,000 times one attribute': [`<a${' a=""'.repeat(1_000_000)}/>`, undefined],
  'a flood of numeric references': [`<a>${'&#65;'.repeat(2_000_000)}</a>`, 'maxReferences'],
  'a flood in an attribute': [`<a b="${'&#x41;'.repeat(2_000_000)}"/>`, 'maxReferences'],
})

function documentFor(way: string, start: string, inside: string): Buffer {
  const envelope = 'xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"'
  if (way === 'SOAP')
    return Buffer.from(`${start}<s:Envelope ${envelope}><s:Body>${inside}</s:Body></s:Envelope>`)
  return Buffer.from(`${start}<r>${inside}</r>`)
}

/** The error, and the least time that it cost. */
async function refusal(read: () => unknown): Promise<{ error: SignalboxError; cpuMs: number }> {
  let cpuMs = Number.POSITIVE_INFINITY
  let refused: unknown
  for (let i = 0; i < TRIES && cpuMs > MAX_CPU_MS; i++) {
    const start = process.threadCpuUsage()
    try {
      await read()
      refused = undefined
    } catch (error) {
      refused = error
    }
    const { user, system } = process.threadCpuUsage(start)
    cpuMs = (user + system) / 1_000
  }
  assert.ok(refused instanceof SignalboxError, refused === undefined ? 'it was accepted' : String(refused))
  return { error: refused, cpuMs }
}

for (const [way, read] of Object.entries(WAYS)) {
  test(`${way}: definitions of entities are refused, and nothing is fetched`, async t => {
    let most = 0
    for (const [what, [start, inside]] of Object.entries(DOCTYPE_CASES())) {
      const document = documentFor(way, start, `<a>${inside}</a>`)
      const { error, cpuMs } = await refusal(() => read(document))
      assert.equal(error.code, 'SIGNALBOX_FORMAT_INVALID', what)
      assert.ok(!JSON.stringify(error.toWire()).includes(SECRET), what)
      assert.ok(cpuMs < MAX_CPU_MS, `${what}: ${cpuMs} ms`)
      most = Math.max(most, cpuMs)
    }
    t.diagnostic(`at most ${most.toFixed(1)} ms`)
    assertNothingRead()
  })

  test(`${way}: depth, attributes and references end at their limits`, async t => {
    let most = 0
    for (const [what, [inside, limit]] of Object.entries(LIMIT_CASES())) {
      const document = documentFor(way, '', inside!)
      const { error, cpuMs } = await refusal(() => read(document))
      assert.equal(error.code, limit ? 'SIGNALBOX_FORMAT_LIMIT' : error.code, what)
      if (limit) assert.equal(error.details?.limit, limit, what)
      assert.ok(cpuMs < MAX_CPU_MS, `${what}: ${cpuMs} ms`)
      most = Math.max(most, cpuMs)
    }
    t.diagnostic(`at most ${most.toFixed(1)} ms`)
  })

  test(`${way}: what only names a file or an address is not followed`, async () => {
    for (const inside of [
      `<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="${canaryUrl}" parse="text"/></a>`,
      `<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="${url}"/></a>`,
      `<a xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:schemaLocation="${url} ${url}" x:noNamespaceSchemaLocation="${canaryUrl}"/>`,
      `<?xml-stylesheet href="${url}"?><a/>`,
      `<a xml:base="${canaryUrl}"/>`,
    ]) {
      const result = await Promise.try(() => read(documentFor(way, '', inside))).catch(
        (error: SignalboxError) => error.toWire(),
      )
      assert.ok(!(JSON.stringify(result) ?? '').includes(SECRET), inside)
    }
    assertNothingRead()
  })
}

/** A canary that is opened would be seen. */
test('what is opened here is seen', () => {
  opened.length = 0
  fs.readFileSync(canary)
  assert.ok(opened.includes(canary))
})

function assertNothingRead(): void {
  assert.deepEqual(
    opened.filter(path => path.includes('canary')),
    [],
  )
  assert.equal(requests, 0)
}
