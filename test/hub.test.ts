/** The invoice hub from its inbox to its outbox: all documents, broken ones mended, a slow consumer, and its README typed in. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { AdminClient } from '../cli/admin-client.ts'
import { adminTarget } from '../cli/admin-target.ts'
import { readInvoice } from '../examples/invoice-hub/lib/read-invoice.ts'
import { freePort } from './free-port.ts'
import { until } from './load.ts'
import { stepsOf, timeless } from './readme-page.ts'
import { Running } from './readme-terminal.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PROJECT = 'examples/invoice-hub'
const README = readFileSync(join(ROOT, PROJECT, 'README.md'), 'utf8')
const FLOW = 'From the inbox to the outbox'

/** What each document becomes: the topic of its buyer's country, and what is to be paid in euros. */
const DOCUMENTS: Record<string, [topic: string, payableEuro: string]> = {
  'en16931/ubl-tc434-example1.xml': ['invoices.nl', '250.33'],
  'en16931/ubl-tc434-example2.xml': ['invoices.no', '70.35'],
  'en16931/ubl-tc434-example3.xml': ['invoices.dk', '268.86'],
  'en16931/ubl-tc434-example4.xml': ['invoices.dk', '626.89'],
  'en16931/ubl-tc434-example5.xml': ['invoices.dk', '313.44'],
  'en16931/CII_example1.xml': ['invoices.nl', '250.33'],
  'en16931/CII_example2.xml': ['invoices.no', '70.35'],
  'en16931/CII_example3.xml': ['invoices.dk', '150.85'],
  'en16931/CII_example4.xml': ['invoices.dk', '626.89'],
  'en16931/CII_example5.xml': ['invoices.dk', '313.44'],
  'en16931/EDIFACT_EXAMPLE1.TXT': ['invoices.nl', '250.33'],
  'en16931/EDIFACT_EXAMPLE2.TXT': ['invoices.no', '70.35'],
  'en16931/EDIFACT_EXAMPLE3.TXT': ['invoices.dk', '150.85'],
  'peppol/base-creditnote-correction.xml': ['invoices.other', '1656.25'],
}
/** Why each broken document is refused, and what mends it. */
const BROKEN: Record<string, [reason: RegExp, from: string, to: string, topic: string]> = {
  'broken/wrong-total.xml': [
    /^SIGNALBOX_VALIDATION_FAILED: .*BR-CO-16: the amount due.* must be 4675, found 4765/,
    '4765',
    '4675',
    'invoices.dk',
  ],
  'broken/malformed.xml': [
    /^SIGNALBOX_REQUEST_REFUSED: XML: the end tag of <cac:PostalAddress> expected, at line 31/,
    '</cac:PostalAdress>',
    '</cac:PostalAddress>',
    'invoices.other',
  ],
}

interface Delivery {
  topic: string
  document: string
  number: string
  euro: { payable: string; rate: { currency: string; perEuro: string; cached: boolean } }
  cii: string
}

/** The hub with a folder and ports of its own, and a terminal that types as the README says. */
class Hub {
  readonly folder = mkdtempSync(join(ROOT, 'examples/.readme-'))
  readonly url: string
  readonly #env: NodeJS.ProcessEnv
  readonly #running: Running

  static async start(): Promise<Hub> {
    const hub = new Hub(await freePort())
    await until(() => /admin API {2}http/.test(hub.#running.output), 'the hub has started')
    return hub
  }

  private constructor(port: number) {
    this.url = `http://127.0.0.1:${port}`
    cpSync(join(ROOT, PROJECT), this.folder, {
      recursive: true,
      filter: path => basename(path) !== '.signalbox',
    })
    const yaml = join(this.folder, 'signalbox.yaml')
    writeFileSync(yaml, `${this.#adapt(readFileSync(yaml, 'utf8'))}admin: { port: 0 }\nworkers: 2\n`)
    this.#env = this.#environment()
    this.#running = new Running('npx signalbox start', this.folder, this.#env)
  }

  async stop(): Promise<void> {
    await this.#running.interrupt()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** What a line prints that is typed in the folder of the hub. */
  async type(line: string): Promise<string> {
    const options = { cwd: this.folder, env: this.#env, timeout: 60_000 }
    const { stdout } = await promisify(execFile)('sh', ['-c', this.#adapt(line)], options)
    return stdout
  }

  /** The admin API, for what is asked often. */
  get admin(): AdminClient {
    return new AdminClient(adminTarget({}, this.folder, {}))
  }

  async send(document: Buffer): Promise<{ document: string; seq: number; duplicate: boolean }> {
    const response = await fetch(`${this.url}/inbox`, { method: 'POST', body: new Uint8Array(document) })
    assert.equal(response.status, 202)
    return (await response.json()) as { document: string; seq: number; duplicate: boolean }
  }

  /** Takes what is in the outbox until there are so many, and looks whether there are more. */
  async fetch(count: number): Promise<Delivery[]> {
    const got: Delivery[] = []
    await until(async () => {
      const { messages } = await this.#post<{
        messages: { seq: number; lease: number; payload: Delivery }[]
      }>('fetch', { max: 1_000 })
      got.push(...messages.map(({ payload }) => payload))
      const leases = messages.map(({ seq, lease }) => ({ seq, lease }))
      if (leases.length > 0) assert.deepEqual(await this.#post('ack', { messages: leases }), { late: [] })
      return got.length >= count && messages.length === 0
    }, `${count} invoices in the outbox`)
    return got
  }

  async queue(name: string): Promise<{ open: number; dead: number; published: number }> {
    const {
      ready = 0,
      leased = 0,
      delayed = 0,
      dead = 0,
      published = 0,
    } = await this.admin.kept.log({ kind: 'queue', name })
    return { open: ready + leased + delayed, dead, published }
  }

  async #post<T>(operation: string, body: object): Promise<T> {
    const response = await fetch(`${this.url}/pubsub/queues/outbound/${operation}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    assert.equal(response.status, 200)
    return (await response.json()) as T
  }

  #adapt(text: string): string {
    return text
      .replaceAll('http://127.0.0.1:7710', this.url)
      .replace(/port: 7710\b/g, `port: ${new URL(this.url).port}`)
      .replaceAll(PROJECT, `examples/${basename(this.folder)}`)
      .replaceAll('/tmp/', `${this.folder}/.`)
  }

  /** `npx` without its look around for packages, which takes longer than what it runs. */
  #environment(): NodeJS.ProcessEnv {
    const bin = join(this.folder, '.bin')
    mkdirSync(bin)
    writeFileSync(join(bin, 'npx'), `#!/bin/sh\nshift\nexec node '${join(ROOT, 'cli/main.ts')}' "$@"\n`)
    chmodSync(join(bin, 'npx'), 0o755)
    // As for who reads the page: the state of the project is in its folder.
    const { NODE_TEST_CONTEXT: _, FORCE_COLOR: __, SIGNALBOX_URL: ___, ...others } = process.env
    const { SIGNALBOX_STATE_DIR: ____, ...inherited } = others
    const path = [bin, dirname(process.execPath), inherited.PATH].join(delimiter)
    return { ...inherited, PATH: path, NO_COLOR: '1', TZ: 'UTC' }
  }
}

const INBOUND = { kind: 'queue', name: 'inbound' } as const
const data = (file: string) => readFileSync(join(ROOT, PROJECT, 'data', file))

describe('documents', () => {
  let hub: Hub
  before(async () => {
    hub = await Hub.start()
  })
  after(() => hub.stop())

  test('each is delivered once, by its topic, in euros, and its CII says what it said', async () => {
    const sent = new Map<string, string>()
    for (const file of Object.keys(DOCUMENTS)) sent.set((await hub.send(data(file))).document, file)
    // Who sends twice is answered, and nothing happens.
    const again = await hub.send(data('en16931/CII_example5.xml'))
    assert.deepEqual([again.duplicate, sent.get(again.document)], [true, 'en16931/CII_example5.xml'])

    const delivered = await hub.fetch(sent.size)
    const files = delivered.map(({ document }) => sent.get(document))
    assert.deepEqual(files.toSorted(), Object.keys(DOCUMENTS).toSorted())
    for (const { document, topic, euro, number, cii } of delivered) {
      const file = sent.get(document)!
      const invoice = readInvoice(data(file))
      assert.deepEqual([topic, euro.payable], DOCUMENTS[file], file)
      assert.deepEqual([number, euro.rate.currency], [invoice.number, invoice.currency])
      assert.deepEqual(readInvoice(Buffer.from(cii)), invoice, file)
    }
    // Each worker reads the table once.
    const fresh = delivered.filter(({ euro }) => !euro.rate.cached)
    assert.ok(fresh.length >= 1 && fresh.length <= 2, String(fresh.length))
  })

  for (const [file, [reason, from, to, topic]] of Object.entries(BROKEN)) {
    test(`${file} is a dead letter with the reason, and goes through when it is mended`, async () => {
      const { seq, document } = await hub.send(data(file))
      await until(async () => (await hub.queue('inbound')).dead === 1, 'the document is a dead letter')
      const { messages } = await hub.admin.kept.messages(INBOUND, { state: 'dead', limit: 10 })
      assert.deepEqual(
        messages.map(({ seq, attempts }) => [seq, attempts]),
        [[seq, 1]],
      )
      const { failure } = messages[0]!
      assert.match(`${failure!.code}: ${failure!.message}`, reason)

      const broken = data(file).toString()
      assert.ok(broken.includes(from), from)
      const mended = Buffer.from(broken.replace(from, to))
      const payloadBase64 = mended.toString('base64')
      await hub.admin.kept.edit(INBOUND, seq, { payloadBase64 })
      await hub.admin.kept.resend(INBOUND, [seq])
      const delivered = await hub.fetch(1)
      assert.deepEqual(
        delivered.map(one => [one.document, one.topic]),
        [[document, topic]],
      )
      assert.deepEqual(readInvoice(Buffer.from(delivered[0]!.cii)), readInvoice(mended))
      assert.equal((await hub.queue('inbound')).dead, 0)
    })
  }

  test('the slow archive holds up no delivery, and catches up', async () => {
    await until(async () => (await hub.queue('archive')).open === 0, 'the archive has what came before')
    const before = (await hub.queue('archive')).published
    const text = data('en16931/CII_example5.xml').toString()
    const count = 100
    const numbered = Array.from({ length: count }, (_, n) =>
      Buffer.from(text.replaceAll('TOSL110', `N-${n}`)),
    )
    await Promise.all(numbered.map(document => hub.send(document)))
    const delivered = await hub.fetch(count)
    assert.equal(new Set(delivered.map(({ number }) => number)).size, count)
    assert.ok((await hub.queue('archive')).open > 0, 'it is behind')
    await until(async () => (await hub.queue('archive')).open === 0, 'the archive has caught up')
    const { published, dead } = await hub.queue('archive')
    assert.deepEqual([published - before, dead], [count, 0])
  })
})

describe('the README', () => {
  let hub: Hub
  before(async () => {
    hub = await Hub.start()
  })
  after(() => hub.stop())

  test('is typed in as it stands', async t => {
    let printed = ''
    const steps = stepsOf(README, FLOW)
    for (const step of steps) {
      if (step.type === 'see') assert.equal(same(printed), same(step.text))
      if (step.type !== 'type') continue
      printed = ''
      for (const line of step.lines)
        await t.test(line, async () => {
          printed += await typed(line)
        })
    }
    assert.deepEqual(
      ['type', 'see'].map(type => steps.filter(step => step.type === type).length),
      [9, 3],
    )
  })

  test('its diagram is what the command draws', async () => {
    const drawn = /```mermaid\n([\s\S]*?)```/.exec(README)![1]!
    assert.equal((await hub.type('npx signalbox routes --mermaid invoices.intake')).trim(), drawn.trim())
  })

  /** What a line prints, once what was sent before it has come to where it looks. */
  async function typed(line: string): Promise<string> {
    if (line.startsWith('cd ')) return ''
    if (/signalbox topics|--state dead/.test(line) && (await hub.queue('inbound')).published === 4)
      await until(async () => (await hub.queue('inbound')).open === 0, 'all is looked at')
    if (line.endsWith('browse queue/outbound'))
      await until(
        async () => (await hub.queue('outbound')).published === 4,
        'the mended invoice is delivered',
      )
    const out = await hub.type(line)
    if (line.includes('/fetch')) {
      const [{ payload }] = JSON.parse(out).messages as [{ payload: Delivery }]
      assert.ok(payload.cii.startsWith('<?xml') && /^\d/.test(payload.euro.payable))
    }
    if (line.includes('many-invoices/[1-200]'))
      assert.ok((await hub.queue('archive')).open > 0, 'the archive is behind')
    return line.startsWith('curl') ? `${out}\n` : out
  }
})

/** A text in which all that differs from run to run is the same, and columns are as narrow as can be. */
function same(text: string): string {
  return timeless(text.replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{3}Z)?/g, 'WHEN'))
    .replace(/\b[\w-]{13,16}\b(?= )/g, 'CID')
    .replace(/ +/g, ' ')
    .replace(/ +$/gm, '')
    .trim()
}
