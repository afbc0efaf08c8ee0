/** Each benchmark runs, in its short form, and gives figures that can be judged. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { serverTest } from '../test/servers/require.ts'
import { comparisons, verdict } from './goals.ts'
import { machine, markdown, plot, type Results, table } from './report.ts'
import { benchmarks, runFile } from './run.ts'

/** Programs without which a benchmark cannot run. */
const SERVERS: Record<string, string> = { amqp: 'rabbitmq-server', redis: 'redis-server' }

const results: Results = {
  date: '2026-01-01T00:00:00Z',
  machine: machine(),
  node: process.version,
  quick: true,
  rows: [],
}

// Figures of the short form mean nothing, so two run at once.
describe('short form', { concurrency: 2 }, () => {
  for (const file of benchmarks()) {
    const needs = SERVERS[file] === undefined ? {} : serverTest(SERVERS[file])
    test(file, needs, async () => {
      const rows = await runFile(file, true)
      assert.ok(rows.length > 0)
      for (const row of rows) {
        assert.ok(Number.isFinite(row.value) && row.value > 0, `${row.name}: ${row.value}`)
        for (const { name, value } of comparisons(row))
          assert.ok(value > 0 && Number.isFinite(value), `${row.name}: ${name} ${value}`)
        verdict(row)
      }
      results.rows.push(...rows.map(row => ({ file, ...row })))
    })
  }
})

test('the figures become a table, Markdown and a plot', () => {
  const { rows } = results
  assert.equal(table(rows).split('\n').length, rows.length + 2)
  assert.equal(markdown(results).match(/^\| /gm)?.length, rows.length + 2)
  const bars = rows.flatMap(row => comparisons(row)).length
  assert.equal(plot(results).match(/<rect x=/g)?.length, bars)
})
