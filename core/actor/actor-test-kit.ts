/** What the tests of actors share. */
import { setImmediate as turn } from 'node:timers/promises'
import { seededRandom, TestClock } from '../clock.ts'
import type { Logger } from '../telemetry/log.ts'
import { Envelope, NO_CONTEXT } from './envelope.ts'
import { ActorSystem, type SystemOptions } from './system.ts'

const DEADLINE_MS = 5_000

/** Lets the event loop turn until the condition holds. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = performance.now() + DEADLINE_MS
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never came: ${what}`)
    await turn()
  }
}

/** Lets everything happen that needs no time to pass. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn()
}

export interface TestSystem {
  system: ActorSystem
  clock: TestClock
  lines: { level: string; message: string | undefined; data: object }[]
}

/** A system whose time stands still, with a log to look at. */
export function testSystem(options: SystemOptions = {}): TestSystem {
  const lines: TestSystem['lines'] = []
  const line = (level: string) => (data: object, message?: string) =>
    void lines.push({ level, message, data })
  const log: Logger = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: () => log,
  }
  const clock = new TestClock(1_000)
  return { system: new ActorSystem({ clock, random: seededRandom(7), log, ...options }), clock, lines }
}

export function tellOf(payload: unknown, bytes = 0): Envelope {
  return new Envelope('test/actor', payload, NO_CONTEXT, 0, undefined, bytes)
}
