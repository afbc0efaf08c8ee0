/**
 * `npm run bench [-- NAME...] [-- --quick]`: runs the benchmarks, each file in a process of its own, prints every
 * figure beside its limit, its peers and its goal, and writes JSON, Markdown and a plot to bench/results.
 */
import '../cli/node-version.mjs'
import { fork } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { machine, markdown, plot, type Results, table } from './report.ts'
import type { BenchRow } from './row.ts'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const RESULTS = join(FOLDER, 'results')

/** What a process that runs one file says. */
export type FromChild = { rows: BenchRow[] } | { error: string }

/** The files that are benchmarks, by name: those that export `run`. */
export function benchmarks(): string[] {
  return globSync('*.ts', { cwd: FOLDER })
    .filter(file => /^export async function run\(/m.test(readFileSync(join(FOLDER, file), 'utf8')))
    .map(file => basename(file, '.ts'))
    .sort()
}

/** Runs one file in a process of its own. Rejects when it fails. */
export function runFile(name: string, quick: boolean): Promise<BenchRow[]> {
  const child = fork(join(FOLDER, 'run-one.ts'), [name], {
    execArgv: ['--expose-gc'],
    env: { ...process.env, SIGNALBOX_LOG_LEVEL: 'error', ...(quick && { SIGNALBOX_BENCH_QUICK: '1' }) },
  })
  return new Promise((resolve, reject) => {
    child.on('message', (message: FromChild) => {
      if ('rows' in message) resolve(message.rows)
      else reject(new Error(`${name}: ${message.error}`))
    })
    child.on('error', reject)
    child.on('exit', code => reject(new Error(`${name} ended with exit code ${code} and without figures`)))
  })
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { quick: { type: 'boolean', default: false } },
  })
  const all = benchmarks()
  const unknown = positionals.filter(name => !all.includes(name))
  if (unknown.length > 0) {
    console.error(`There is no benchmark ${unknown.join(', ')}; there are: ${all.join(', ')}`)
    return 2
  }
  const { quick } = values
  const results: Results = {
    date: new Date().toISOString(),
    machine: machine(),
    node: process.version,
    quick,
    rows: [],
  }
  let failed = 0
  for (const file of positionals.length > 0 ? positionals : all) {
    try {
      const rows = await runFile(file, quick)
      results.rows.push(...rows.map(row => ({ file, ...row })))
      console.log(`\n${file}\n${table(rows)}`)
    } catch (error) {
      failed++
      console.error(error)
    }
  }
  write(results)
  return failed > 0 ? 1 : 0
}

function write(results: Results): void {
  mkdirSync(RESULTS, { recursive: true })
  const name = join(RESULTS, results.date.replaceAll(':', '-').slice(0, 19))
  writeFileSync(`${name}.json`, `${JSON.stringify(results, null, 2)}\n`)
  writeFileSync(`${name}.md`, markdown(results))
  writeFileSync(`${name}.svg`, plot(results))
  console.log(`\nwritten: ${name}.json, .md and .svg`)
}

if (import.meta.main) process.exitCode = await main()
