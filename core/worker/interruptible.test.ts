import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { keepLoopsInterruptible } from './interruptible.ts'

const LOOPS = {
  allocating: 'const a = []; for (;;) a[0] = new Array(1000)',
  inlined: 'const f = () => new Array(1000).fill(1); for (;;) f()',
  counting: 'let n = 0; for (;;) n++',
}

for (const [name, source] of Object.entries(LOOPS)) {
  test(`a loop (${name}) that is optimised can be ended`, { timeout: 30_000 }, async () => {
    keepLoopsInterruptible()
    const thread = new Worker(source, { eval: true })
    await once(thread, 'online')
    // The defect shows only once the loop is compiled by the top tier, which nothing reports.
    await delay(500)
    assert.equal(await Promise.race([thread.terminate(), delay(10_000, 'still running', { ref: false })]), 1)
  })
}
