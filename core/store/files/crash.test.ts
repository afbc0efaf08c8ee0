import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { until, within } from '../../../test/conformance/wait.ts'
import { seededRandom } from '../../clock.ts'
import { kill, launch, temporary, textsOf } from './journal-test-kit.ts'

interface Step {
  confirmed?: number
  needed?: number
}

test('killed at any moment of appends, trims, closing and opening, nothing that was confirmed and is needed is lost', async t => {
  const folder = await temporary(t)
  const seed = Number(process.env.SIGNALBOX_TEST_SEED ?? Date.now() % 1e9)
  const random = seededRandom(seed)
  const rounds = Number(process.env.SIGNALBOX_TEST_ROUNDS ?? 10)
  const options = { folder, segmentBytes: 30_000, reserveBytes: 0 }
  let last = -1
  let needed = 0
  for (let round = 0; round < rounds; round++) {
    const child = launch('churn', options)
    const lines = createInterface(child.stdout)
    const end = once(lines, 'close')
    let steps = 0
    lines.on('line', line => {
      steps++
      const step = JSON.parse(line) as Step
      last = Math.max(last, step.confirmed ?? -1)
      needed = Math.max(needed, step.needed ?? 0)
    })
    const enough = 1 + Math.floor(random() * 120)
    await until(() => steps >= enough, `${enough} steps`)
    await kill(child)
    await within(end, 'the end of the output')
    const numbers = (await textsOf(options)).map(text => Number.parseInt(text, 10))
    const [first] = numbers as [number]
    const what = `round ${round}, seed ${seed}: ${first} to ${numbers.at(-1)}`
    assert.deepEqual(
      numbers,
      Array.from(numbers, (_, i) => first + i),
      what,
    )
    assert.ok(first <= needed && numbers.at(-1)! >= last, `${what}; needed ${needed} to ${last}`)
  }
  assert.ok(last > rounds, `${last}`)
  assert.ok((await readdir(folder)).length < 30)
})
