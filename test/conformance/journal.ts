/** What every journal engine promises: register it with an implementation and a way to open the same journal again. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../core/clock.ts'
import type { Journal, Position, Segment } from '../../core/store/journal.ts'
import { DEADLINE_MS, until, within } from './wait.ts'

/** Largest record of the journals that a place opens. */
export const TEST_MAX_RECORD_BYTES = 20_000
/** A segment of the journals that a place opens has about so many bytes. */
export const TEST_SEGMENT_BYTES = 50_000

/** A place where one journal lives, with nothing in it at first. */
export interface JournalPlace {
  /** Opens the journal there, with {@link TEST_MAX_RECORD_BYTES} and {@link TEST_SEGMENT_BYTES}; not replayed yet. */
  open(): Promise<Journal>
  /** Where a backup can go, and how a backup is opened. */
  backup: { to: string; open(): Promise<Journal> }
  /**
   * Arguments for node: a program that opens the journal, replays it, and for every line it reads on standard input,
   * a number, appends {@link crashRecords} of it in one call, and writes the line to standard output when that has
   * resolved. Undefined skips the crash scenario.
   */
  crashWriter?: string[]
  dispose(): Promise<void>
}

/** Registers the scenarios for an engine. */
export function journalConformance(engine: string, makePlace: () => Promise<JournalPlace>): void {
  for (const [name, run] of Object.entries(scenarios)) {
    test(`journal ${engine}: ${name}`, async () => {
      const place = await makePlace()
      try {
        await run(new Bench(place), makePlace)
      } finally {
        await place.dispose()
      }
    })
  }
}

/** What a writer that is going to be killed appends for a number. */
export function crashRecords(number: number): Buffer[] {
  const random = seededRandom(number)
  const count = 1 + Math.floor(random() * 4)
  return Array.from({ length: count }, (_, i) => {
    const tag = `${number}/${i}/${count} `
    return Buffer.from(tag.padEnd(tag.length + Math.floor(random() ** 4 * 10_000), `${number}-`))
  })
}

type Item = [position: Position, text: string]

/** Opens a journal, and what was in it. */
class Bench {
  readonly place: JournalPlace
  items: Item[] = []

  constructor(place: JournalPlace) {
    this.place = place
  }

  async open(open = () => this.place.open()): Promise<Journal> {
    const journal = await open()
    this.items = []
    await journal.replay((record, position) => this.items.push([position, record.toString()]))
    return journal
  }
}

/** Appends texts in one call; what a replay is going to give of them. */
async function append(journal: Journal, ...texts: string[]): Promise<Item[]> {
  const positions = await journal.append(texts.map(text => Buffer.from(text)))
  assert.equal(positions.length, texts.length)
  return positions.map((position, i) => [position, texts[i]!])
}

async function readTexts(journal: Journal, items: readonly Item[]): Promise<string[]> {
  return (await journal.read(items.map(([position]) => position))).map(String)
}

function assertGrowing(items: readonly Item[], above = 0): void {
  let last = above
  for (const [position] of items) {
    assert.ok(Number.isSafeInteger(position) && position > last, `${position} behind ${last}`)
    last = position
  }
}

const CLOSED = { code: 'SIGNALBOX_STORE_UNAVAILABLE', retryable: true }
const INVALID = { code: 'SIGNALBOX_STORE_ENTRY_INVALID' }
const USAGE = { code: 'SIGNALBOX_USAGE' }

const scenarios: Record<string, (bench: Bench, makePlace: () => Promise<JournalPlace>) => Promise<void>> = {
  async 'what was appended is replayed in order, with its positions, as often as it is opened'(bench) {
    let journal = await bench.open()
    assert.deepEqual(bench.items, [])
    const expected: Item[] = []
    for (let round = 0; round < 3; round++) {
      expected.push(...(await append(journal, `a${round}`, 'é\u{1f600}', '\0'.repeat(100))))
      expected.push(...(await append(journal, 'x'.repeat(TEST_MAX_RECORD_BYTES))))
      assert.deepEqual(
        await readTexts(journal, expected),
        expected.map(([, text]) => text),
      )
      await journal.close()
      journal = await bench.open()
      assert.deepEqual(bench.items, expected)
    }
    assertGrowing(expected)
    await journal.close()
  },

  async 'calls at the same time keep their order, and each has its own positions'(bench) {
    const journal = await bench.open()
    const calls = Array.from({ length: 500 }, (_, i) => append(journal, `${i}a`, `${i}b`))
    const expected = (await Promise.all(calls)).flat()
    assertGrowing(expected)
    await journal.close()
    await (await bench.open()).close()
    assert.deepEqual(bench.items, expected)
  },

  async 'records are copied before append returns'(bench) {
    const journal = await bench.open()
    const record = Buffer.from('before')
    const done = journal.append([record, record.subarray(0, 2)])
    record.fill('x')
    const positions = await done
    assert.deepEqual((await journal.read(positions)).map(String), ['before', 'be'])
    const [copy] = await journal.read(positions)
    copy!.fill('y')
    assert.equal(String((await journal.read(positions))[0]), 'before')
    await journal.close()
  },

  async 'a call with a bad record leaves nothing, and others are not harmed'(bench) {
    const journal = await bench.open()
    assert.equal(journal.maxRecordBytes, TEST_MAX_RECORD_BYTES)
    const good = Buffer.from('good')
    const before = append(journal, 'before')
    for (const bad of [
      Buffer.alloc(0),
      Buffer.alloc(TEST_MAX_RECORD_BYTES + 1),
      'text',
      null,
      [1],
      new Uint16Array(3),
    ]) {
      await assert.rejects(journal.append([good, bad as Buffer]), INVALID)
    }
    assert.deepEqual(await journal.append([]), [])
    const expected = [...(await before), ...(await append(journal, 'after'))]
    await journal.close()
    await (await bench.open()).close()
    assert.deepEqual(bench.items, expected)
  },

  async 'it is replayed once, before anything else'(bench) {
    const journal = await bench.place.open()
    await assert.rejects(journal.append([Buffer.from('x')]), USAGE)
    await assert.rejects(journal.read([1]), USAGE)
    await assert.rejects(journal.trim(1), USAGE)
    await assert.rejects(journal.backup(bench.place.backup.to), USAGE)
    assert.throws(() => journal.segments(), USAGE)
    await journal.replay(() => {})
    await assert.rejects(
      journal.replay(() => {}),
      USAGE,
    )
    await journal.close()
  },

  async 'an error of the function that replay calls is passed on'(bench) {
    const journal = await bench.open()
    await append(journal, 'x')
    await journal.close()
    const again = await bench.place.open()
    const error = new Error('mine')
    await assert.rejects(
      again.replay(() => {
        throw error
      }),
      error,
    )
    await assert.rejects(again.append([Buffer.from('y')]), CLOSED)
    await again.close()
    await (await bench.open()).close()
    assert.equal(bench.items.length, 1)
  },

  async 'reading gives records in the order asked for, also twice and across segments'(bench) {
    const journal = await bench.open()
    const items = await fill(journal, 4 * TEST_SEGMENT_BYTES)
    const random = seededRandom(1)
    const wanted = Array.from({ length: 300 }, () => items[Math.floor(random() * items.length)]!)
    assert.deepEqual(
      await readTexts(journal, wanted),
      wanted.map(([, text]) => text),
    )
    assert.deepEqual(await journal.read([]), [])
    const [[first]] = items as [Item]
    for (const wrong of [0, -1, first + 1, 1.5, Number.NaN, items.at(-1)![0] + 1_000_000]) {
      await assert.rejects(journal.read([first, wrong]), { code: /^SIGNALBOX_(USAGE|STORE_DAMAGED)$/ })
    }
    await journal.close()
  },

  async 'segments hold all records, and trimming frees those that lie before'(bench) {
    let journal = await bench.open()
    let items = await fill(journal, 5 * TEST_SEGMENT_BYTES)
    const segments = journal.segments()
    assert.ok(segments.length >= 4, `${segments.length} segments`)
    for (const [position] of items) {
      assert.equal(segments.filter(({ from, to }) => from <= position && position < to).length, 1)
    }
    const bytes = segments.reduce((sum, segment) => sum + segment.bytes, 0)
    assert.ok(bytes >= 5 * TEST_SEGMENT_BYTES && bytes < 7 * TEST_SEGMENT_BYTES, `${bytes} bytes`)
    const third = segments[2]!
    await journal.trim(third.from)
    items = items.filter(([position]) => position >= third.from)
    assert.deepEqual(journal.segments(), await sameBut(journal, segments.slice(2)))
    assert.deepEqual(
      await readTexts(journal, items),
      items.map(([, text]) => text),
    )
    // Nothing lies before, or not the whole of a segment.
    await journal.trim(third.from)
    await journal.trim(third.to - 1)
    assert.equal(journal.segments()[0]!.from, third.from)
    await journal.close()
    journal = await bench.open()
    assert.deepEqual(bench.items, items)
    await journal.close()
  },

  async 'positions go on after everything was trimmed'(bench) {
    let journal = await bench.open()
    let last = 0
    for (let round = 0; round < 4; round++) {
      const items = await fill(journal, 2 * TEST_SEGMENT_BYTES)
      assertGrowing(items, last)
      last = items.at(-1)![0]
      await journal.trim(last + 1)
      assert.equal(journal.segments().length, 1)
      await journal.close()
      journal = await bench.open()
      assert.ok(bench.items.length < items.length)
    }
    await journal.close()
  },

  async 'appends, reads and trims go on at the same time'(bench) {
    const journal = await bench.open()
    const items: Item[] = []
    const writers = Array.from({ length: 8 }, async (_, lane) => {
      for (let i = 0; i < 40; i++) items.push(...(await append(journal, `${lane}-${i}`.padEnd(1500, '.'))))
    })
    const reader = async () => {
      for (let i = 0; i < 50; i++) {
        const some = items.slice(-20)
        assert.deepEqual(
          await readTexts(journal, some),
          some.map(([, text]) => text),
        )
        if (i % 10 === 9) await journal.trim(items.at(-60)?.[0] ?? 0)
      }
    }
    await Promise.all([...writers, reader()])
    await journal.close()
    await (await bench.open()).close()
    items.sort(([a], [b]) => a - b)
    assert.deepEqual(bench.items, items.slice(-bench.items.length))
    assert.ok(bench.items.length >= 60)
  },

  async 'a backup holds everything that was confirmed, while appends go on'(bench) {
    const journal = await bench.open()
    const confirmed = await fill(journal, 3 * TEST_SEGMENT_BYTES)
    let going = true
    const later: Item[] = []
    const writer = (async () => {
      while (going) later.push(...(await append(journal, 'later '.padEnd(3000, '.'))))
    })()
    await until(() => later.length > 3, 'a few appends')
    const least = confirmed.length + later.length
    await journal.backup(bench.place.backup.to)
    going = false
    await writer
    await journal.close()
    const copy = await bench.open(() => bench.place.backup.open())
    assert.ok(bench.items.length >= least, `${bench.items.length} of ${least}`)
    assert.deepEqual(bench.items, [...confirmed, ...later].slice(0, bench.items.length))
    // The copy is a journal of its own.
    const added = await append(copy, 'added')
    assertGrowing(added, bench.items.at(-1)![0])
    const expected = [...bench.items, ...added]
    await copy.close()
    await (await bench.open(() => bench.place.backup.open())).close()
    assert.deepEqual(bench.items, expected)
  },

  async 'a backup does not write to a folder that has something in it'(bench) {
    const journal = await bench.open()
    await append(journal, 'x')
    const { to } = bench.place.backup
    await mkdir(to)
    await writeFile(join(to, 'precious'), 'x')
    await assert.rejects(journal.backup(to), USAGE)
    await journal.close()
  },

  async 'closing finishes what was accepted, and is done once'(bench) {
    const journal = await bench.open()
    const calls = Array.from({ length: 50 }, (_, i) => append(journal, `${i}`))
    await Promise.all([journal.close(), journal.close()])
    const expected = (await Promise.all(calls)).flat()
    await journal.close()
    await assert.rejects(journal.append([Buffer.from('x')]), CLOSED)
    await assert.rejects(journal.read([expected[0]![0]]), CLOSED)
    await assert.rejects(journal.trim(1), CLOSED)
    await assert.rejects(journal.backup(bench.place.backup.to), CLOSED)
    assert.throws(() => journal.segments(), CLOSED)
    await (await bench.open()).close()
    assert.deepEqual(bench.items, expected)
    const unused = await bench.place.open()
    await unused.close()
    await assert.rejects(
      unused.replay(() => {}),
      CLOSED,
    )
  },

  async 'many journals at once do not mix'(_bench, makePlace) {
    const places = await Promise.all(Array.from({ length: 40 }, makePlace))
    try {
      const lives = places.map(async (place, i) => {
        const bench = new Bench(place)
        const journal = await bench.open()
        const calls = await Promise.all(Array.from({ length: 10 }, (_, k) => append(journal, `${i}: ${k}`)))
        await journal.close()
        await (await bench.open()).close()
        assert.deepEqual(bench.items, calls.flat())
      })
      await Promise.all(lives)
    } finally {
      for (const place of places) await place.dispose()
    }
  },

  async 'it behaves as a list does, also when it is opened again and trimmed in between'(bench) {
    let journal = await bench.open()
    let model: Item[] = []
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 15 }), async operations => {
        for (const each of operations) {
          if (each.type === 'append') {
            const calls = await Promise.all(each.calls.map(sizes => append(journal, ...sizes.map(textOf))))
            assertGrowing(calls.flat(), model.at(-1)?.[0])
            model.push(...calls.flat())
          } else if (each.type === 'trim') {
            await journal.trim(model[Math.floor(each.share * model.length)]?.[0] ?? 0)
            const { from } = journal.segments()[0] ?? { from: 0 }
            model = model.filter(([position]) => position >= from)
          } else if (each.type === 'read') {
            const some = model.filter((_, i) => i % each.step === 0)
            assert.deepEqual(
              await readTexts(journal, some),
              some.map(([, text]) => text),
            )
          } else {
            await journal.close()
            journal = await bench.open()
            assert.deepEqual(bench.items, model)
          }
        }
      }),
      { numRuns: 40 },
    )
    await journal.close()
    await (await bench.open()).close()
    assert.deepEqual(bench.items, model)
  },

  async 'everything confirmed survives kill -9, each call is there whole or not at all, nothing is invented'(
    bench,
  ) {
    const { crashWriter } = bench.place
    if (!crashWriter) return
    const seed = Number(process.env.SIGNALBOX_TEST_SEED ?? Date.now() % 1e9)
    const random = seededRandom(seed)
    const rounds = Number(process.env.SIGNALBOX_TEST_ROUNDS ?? 10)
    const confirmed = new Set<number>()
    let next = 1
    for (let round = 0; round < rounds; round++) {
      next = await crash(crashWriter, next, Math.floor(random() ** 2 * 400), confirmed)
      const journal = await bench.open()
      const found = wholeCalls(bench.items)
      const lost = [...confirmed].filter(number => !found.has(number))
      assert.deepEqual(lost, [], `of ${confirmed.size} confirmed calls, seed ${seed}`)
      assertGrowing(bench.items)
      await journal.close()
    }
    assert.ok(confirmed.size >= rounds, `${confirmed.size} confirmed calls`)
  },
}

const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('append' as const),
      calls: fc.array(fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 5 }), {
        minLength: 1,
        maxLength: 5,
      }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('trim' as const),
      share: fc.double({ min: 0, max: 0.9, noNaN: true }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('read' as const), step: fc.integer({ min: 1, max: 9 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('reopen' as const) }) },
)

let textCount = 0
function textOf(size: number): string {
  return `${textCount++} `.padEnd(size, 'abcdefgh').slice(0, size)
}

/** Appends until so many bytes of records are in the journal. */
async function fill(journal: Journal, bytes: number): Promise<Item[]> {
  const items: Item[] = []
  for (let i = 0; i * 1000 < bytes; i += 10) {
    const calls = Array.from({ length: 10 }, (_, k) => append(journal, `${i + k} `.padEnd(1000, '+')))
    items.push(...(await Promise.all(calls)).flat())
  }
  return items
}

/** The last segment grows: trimming itself may write a record of its own. */
async function sameBut(journal: Journal, segments: readonly Segment[]): Promise<Segment[]> {
  return [...segments.slice(0, -1), journal.segments().at(-1)!]
}

/** The numbers of the calls of {@link crashRecords}; throws unless each is whole and exactly what was appended. */
function wholeCalls(items: readonly Item[]): Set<number> {
  const found = new Set<number>()
  for (let i = 0; i < items.length; ) {
    const number = Number.parseInt(items[i]![1], 10)
    const expected = crashRecords(number).map(String)
    const actual = items.slice(i, i + expected.length).map(([, text]) => text)
    assert.deepEqual(actual, expected, `call ${number}`)
    assert.ok(!found.has(number), `call ${number} is there twice`)
    found.add(number)
    i += expected.length
  }
  return found
}

/** Lets a writer write until it has confirmed `count` calls, kills it, and returns the first number it was not given. */
async function crash(args: string[], from: number, count: number, confirmed: Set<number>): Promise<number> {
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  // What the kernel does with input that nobody reads any more is of no interest.
  child.stdin.on('error', () => {})
  let next = from
  let inRound = 0
  const lines = createInterface(child.stdout)
  const end = Promise.all([once(child, 'close'), once(lines, 'close')])
  lines.on('line', line => {
    confirmed.add(Number(line))
    inRound++
    child.stdin.write(`${next++}\n`)
  })
  for (let i = 0; i < 16; i++) child.stdin.write(`${next++}\n`)
  try {
    await until(() => inRound > count, `${count} confirmed calls`, 4 * DEADLINE_MS)
  } finally {
    child.kill('SIGKILL')
    await within(end, 'the end of the writer and its output')
  }
  return next
}
