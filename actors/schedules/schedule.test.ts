import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { TestClock } from '../../core/clock.ts'
import { openLmdbStore } from '../../core/store/lmdb/lmdb-store.ts'
import type { Store } from '../../core/store/store.ts'
import type { ScheduleResource } from './options.ts'
import { Schedule, type ScheduleRun } from './schedule.ts'
import { timesOf } from './times.ts'

const utc = (text: string) => Date.parse(`${text}Z`)
const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A clock whose wall time can be set, while intervals go on as they were. */
class JumpingClock extends TestClock {
  #jump = 0

  override now(): number {
    return super.now() + this.#jump
  }

  jump(ms: number): void {
    this.#jump += ms
  }
}

interface Runs {
  clock: JumpingClock
  store: Store
  /** When each run was due, or undefined. */
  due: (number | undefined)[]
  /** Ends the runs that are under way. */
  finish(error?: Error): void
  open(type: string, options: ScheduleResource): Promise<Schedule>
  settle(): Promise<void>
}

async function bench(t: TestContext, start = utc('2026-03-01T00:00:00'), hold = false): Promise<Runs> {
  const folder = await mkdtemp(join(tmpdir(), 'signalbox-schedule-'))
  const store = await openLmdbStore({ folder })
  const clock = new JumpingClock(start)
  const open: Schedule[] = []
  const held: PromiseWithResolvers<void>[] = []
  t.after(async () => {
    for (const one of held) one.resolve()
    await Promise.all(open.map(schedule => schedule.stop()))
    await store.close()
    await rm(folder, { recursive: true })
  })
  const runs: Runs = {
    clock,
    store,
    due: [],
    finish: error => {
      for (const one of held.splice(0)) error ? one.reject(error) : one.resolve()
    },
    async open(type, options) {
      const schedule = new Schedule(
        { name: 'job', type, options },
        {
          state: store,
          clock,
          random: () => 0.5,
          onError: error => assert.fail(error),
          run: (_config, run: ScheduleRun) => {
            runs.due.push(run.dueAt)
            if (!hold) return Promise.resolve()
            const done = Promise.withResolvers<void>()
            held.push(done)
            return done.promise
          },
        },
      )
      open.push(schedule)
      await schedule.start()
      await runs.settle()
      return schedule
    },
    async settle() {
      for (let turn = 0; turn < 3; turn++) {
        await new Promise(resolve => setImmediate(resolve))
        await Promise.all(open.map(schedule => schedule.idle()))
      }
    },
  }
  return runs
}

/** Moves on in small steps, so that everything has its turn. */
async function advance(runs: Runs, ms: number, step: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += step) {
    runs.clock.advance(step)
    await runs.settle()
  }
}

describe('times', () => {
  it('cron holds the time zone through daylight saving', () => {
    const times = timesOf('cron', { cron: '30 2 * * *', timezone: 'Europe/Berlin' }, 0)
    const next = (text: string) => new Date(times.after(utc(text))!).toISOString()
    assert.equal(next('2026-03-27T12:00:00'), '2026-03-28T01:30:00.000Z')
    // 02:30 does not exist on 29 March 2026: it comes when the clock has moved on.
    assert.equal(next('2026-03-28T12:00:00'), '2026-03-29T01:00:00.000Z')
    assert.equal(next('2026-03-29T12:00:00'), '2026-03-30T00:30:00.000Z')
    // 02:30 comes twice on 25 October 2026: it is due once.
    assert.equal(next('2026-10-24T12:00:00'), '2026-10-25T00:30:00.000Z')
    assert.equal(next('2026-10-25T00:30:00'), '2026-10-26T01:30:00.000Z')
  })

  it('cron knows leap days and seconds', () => {
    const leap = timesOf('cron', { cron: '0 0 29 2 *' }, 0)
    assert.equal(new Date(leap.after(utc('2026-01-01T00:00:00'))!).toISOString(), '2028-02-29T00:00:00.000Z')
    const seconds = timesOf('cron', { cron: '*/15 * * * * *' }, 0)
    assert.equal(seconds.after(utc('2026-01-01T00:00:01')), utc('2026-01-01T00:00:15'))
  })

  it('intervals count from their start, once is once', () => {
    const interval = timesOf('interval', { everyMs: 1_000 }, 500)
    assert.deepEqual([interval.after(0), interval.after(500), interval.after(1_600)], [500, 1_500, 2_500])
    const once = timesOf('once', { at: '2026-12-24T18:00:00Z' }, 0)
    assert.equal(once.after(0), utc('2026-12-24T18:00:00'))
    assert.equal(once.after(utc('2026-12-24T18:00:00')), undefined)
  })

  it('refuses what is none', () => {
    for (const [type, options] of [
      ['cron', { cron: '61 * * * *' }],
      ['cron', { cron: '* * * *' }],
      ['cron', { cron: '* * * * *', timezone: 'Mars/Olympus' }],
      ['once', { at: 'tomorrow' }],
    ] as const) {
      assert.throws(() => timesOf(type, options, 0), { code: 'SIGNALBOX_OPTIONS_INVALID' })
    }
  })
})

describe('a schedule', () => {
  it('runs at its times, and remembers', async t => {
    const runs = await bench(t)
    const schedule = await runs.open('interval', { everyMs: MINUTE })
    await advance(runs, 3 * MINUTE, 10_000)
    const start = utc('2026-03-01T00:00:00')
    assert.deepEqual(runs.due, [start + MINUTE, start + 2 * MINUTE, start + 3 * MINUTE])
    const history = await schedule.history()
    assert.deepEqual(
      history.map(({ number, outcome }) => [number, outcome]),
      [
        [3, 'ok'],
        [2, 'ok'],
        [1, 'ok'],
      ],
    )
    assert.equal(schedule.view().nextAt, start + 4 * MINUTE)
  })

  it('keeps no more runs than it is told to', async t => {
    const runs = await bench(t)
    const schedule = await runs.open('interval', { everyMs: MINUTE, history: 2 })
    await advance(runs, 4 * MINUTE, MINUTE)
    assert.deepEqual(
      (await schedule.history()).map(({ number }) => number),
      [4, 3],
    )
  })

  for (const [catchUp, expected] of [
    ['none', []],
    ['once', [3]],
    ['all', [1, 2, 3]],
  ] as const) {
    it(`catches up by its policy: ${catchUp}`, async t => {
      const runs = await bench(t)
      await (await runs.open('interval', { everyMs: HOUR, catchUp })).stop()
      runs.clock.advance(3.5 * HOUR)
      const schedule = await runs.open('interval', { everyMs: HOUR, catchUp })
      const start = utc('2026-03-01T00:00:00')
      assert.deepEqual(
        runs.due,
        expected.map(hours => start + hours * HOUR),
      )
      assert.equal(schedule.view().nextAt, start + 4 * HOUR)
    })
  }

  for (const [overlap, due, outcomes] of [
    ['skip', 1, ['skipped', 'skipped', 'running']],
    ['queue', 1, ['running']],
    ['allow', 3, ['running', 'running', 'running']],
  ] as const) {
    it(`overlaps by its policy: ${overlap}`, async t => {
      const runs = await bench(t, undefined, true)
      const schedule = await runs.open('interval', { everyMs: MINUTE, overlap })
      await advance(runs, 3 * MINUTE, MINUTE)
      assert.equal(runs.due.length, due)
      assert.deepEqual(
        (await schedule.history()).map(({ outcome }) => outcome),
        outcomes,
      )
      runs.finish()
      await runs.settle()
      // The one that waited runs now, once for both.
      assert.equal(runs.due.length, overlap === 'queue' ? 2 : due)
    })
  }

  it('says why a run failed, and which was cut off', async t => {
    const runs = await bench(t, undefined, true)
    const schedule = await runs.open('interval', { everyMs: MINUTE, overlap: 'allow' })
    await advance(runs, MINUTE, MINUTE)
    runs.finish(new Error('no'))
    await runs.settle()
    await advance(runs, MINUTE, MINUTE)
    // As after a crash: nobody ended the second run.
    const again = await runs.open('interval', { everyMs: MINUTE, overlap: 'allow' })
    const [second, first] = await again.history()
    assert.deepEqual([first!.outcome, first!.reason], ['failed', 'SIGNALBOX_SERVICE_FAILED: no'])
    assert.equal(second!.outcome, 'interrupted')
    assert.equal(schedule.view().running, 1)
  })

  it('runs now, and not while it is paused', async t => {
    const runs = await bench(t)
    const schedule = await runs.open('interval', { everyMs: MINUTE })
    await schedule.pause(true)
    await advance(runs, 3 * MINUTE, MINUTE)
    assert.deepEqual(runs.due, [])
    assert.equal((await schedule.runNow()).outcome, 'ok')
    assert.deepEqual(runs.due, [undefined])
    await schedule.stop()
    const again = await runs.open('interval', { everyMs: MINUTE })
    assert.equal(again.view().paused, true)
    await again.pause(false)
    await advance(runs, MINUTE, MINUTE)
    assert.equal(runs.due.length, 2)
  })

  it('neither skips nor doubles when the clock jumps', async t => {
    const start = utc('2026-03-01T00:00:00')
    for (const jump of [HOUR, -HOUR, 5_000, -5_000]) {
      const runs = await bench(t, start)
      await runs.open('cron', { cron: '*/10 * * * *', catchUp: 'all' })
      await advance(runs, 25 * MINUTE, MINUTE)
      runs.clock.jump(jump)
      await advance(runs, 2 * HOUR, MINUTE)
      const due = runs.due as number[]
      assert.equal(new Set(due).size, due.length, `doubled after ${jump}`)
      const times = due.map(at => (at - start) / (10 * MINUTE))
      assert.deepEqual(
        times,
        times.map((_, i) => i + 1),
        `skipped after ${jump}`,
      )
    }
  })

  it('spreads its runs by jitter', async t => {
    const runs = await bench(t)
    await runs.open('interval', { everyMs: MINUTE, jitterMs: 20_000 })
    await advance(runs, MINUTE + 5_000, 5_000)
    assert.equal(runs.due.length, 0)
    await advance(runs, 5_000, 5_000)
    assert.equal(runs.due.length, 1)
  })
})

describe('a schedule whose state cannot be kept', () => {
  it('goes on when it can again, and leaves no time out', async () => {
    const clock = new JumpingClock(utc('2026-03-01T00:00:00'))
    const kept = new Map<string, unknown>()
    let works = true
    const errors: Error[] = []
    const due: (number | undefined)[] = []
    const check = () => {
      if (!works) throw new Error('the disk fails')
    }
    const schedule = new Schedule(
      { name: 'job', type: 'interval', options: { service: 's', everyMs: MINUTE, catchUp: 'all' } },
      {
        clock,
        random: () => 0.5,
        onError: error => errors.push(error),
        run: async (_config, run) => due.push(run.dueAt),
        state: {
          get: async () => undefined,
          list: async () => [],
          async put(collection, key, value) {
            check()
            kept.set(`${collection}/${key}`, value)
            return { key, value, revision: 1, changedAt: 0 }
          },
          delete: async () => true,
          async transact() {
            check()
            return []
          },
        },
      },
    )
    await schedule.start()
    const start = clock.now()
    const pass = async (ms: number) => {
      clock.advance(ms)
      for (let i = 0; i < 5; i++) {
        await schedule.idle()
        await new Promise(setImmediate)
      }
    }
    await pass(MINUTE)
    works = false
    await pass(MINUTE)
    for (let i = 0; i < 30; i++) await pass(1_000)
    assert.ok(errors.length > 0)
    works = true
    await pass(1_000)
    await pass(MINUTE)
    assert.deepEqual(due, [start + MINUTE, start + 2 * MINUTE, start + 3 * MINUTE])
    await schedule.stop()
  })
})
