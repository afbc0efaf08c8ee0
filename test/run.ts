/**
 * `npm test`: runs every *.test.ts, each in a process of its own, prints failures in full and skipped tests by
 * name, and ends with the line `N passed, N failed, N skipped`.
 */
import '../cli/node-version.mjs'
import { globSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseRunnerArgs, type RunnerArgs } from './runner/args.ts'
import { type FileResult, killRunning, runFile } from './runner/run-file.ts'

const FOLDERS = ['core', 'actors', 'transports', 'cli', 'test', 'examples', 'bench']

process.exitCode = await main()

async function main(): Promise<number> {
  let args: RunnerArgs
  try {
    args = parseRunnerArgs(process.argv.slice(2))
  } catch (error) {
    console.error((error as Error).message)
    return 2
  }
  const files = findTestFiles(args.paths)
  if (files.length === 0) console.error(`No test file matches ${args.paths.join(' ') || FOLDERS.join(', ')}.`)
  const results = await runAll(files, args)
  return printSummary(results)
}

function findTestFiles(paths: string[]): string[] {
  const found = globSync(`{${FOLDERS.join(',')}}/**/*.test.ts`, {
    exclude: path => /(^|\/)(node_modules|dist)$/.test(path),
  })
  const wanted = paths.map(path => path.replace(/^\.\//, ''))
  return found.filter(file => wanted.length === 0 || wanted.some(path => file.includes(path))).sort()
}

async function runAll(files: string[], args: RunnerArgs): Promise<FileResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'signalbox-test-'))
  const cleanUp = () => rmSync(folder, { recursive: true, force: true })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      killRunning()
      cleanUp()
      process.exit(1)
    })
  }
  const results: FileResult[] = []
  const queue = files.entries()
  const work = async () => {
    for (const [index, file] of queue) {
      const eventsPath = join(folder, `${index}.jsonl`)
      const result = await runFile(file, { eventsPath, timeoutMs: args.timeoutMs, only: args.only })
      results.push(result)
      printFile(result)
    }
  }
  try {
    await Promise.all(Array.from({ length: args.concurrency }, work))
  } finally {
    cleanUp()
  }
  return results
}

function printFile(result: FileResult): void {
  const { file, passed, failed, skipped, durationMs } = result
  const parts = [`${passed} passed`]
  if (failed.length > 0) parts.push(`${failed.length} failed`)
  if (skipped.length > 0) parts.push(`${skipped.length} skipped`)
  const mark = failed.length > 0 ? '✖' : '✔'
  console.log(`${mark} ${file} (${parts.join(', ')}, ${(durationMs / 1000).toFixed(1)} s)`)
  if (failed.length > 0) printFailures(result)
}

function printFailures({ file, failed, notes, output }: FileResult): void {
  for (const { name, text } of failed) console.log(indent(`✖ ${name}\n${indent(text)}`))
  for (const note of notes) console.log(indent(`note: ${note}`))
  if (output !== '') console.log(indent(`output of ${file}:\n${indent(output.trimEnd())}`))
}

function printSummary(results: FileResult[]): number {
  const total = { passed: 0, failed: 0, skipped: 0 }
  for (const { passed, failed, skipped } of results) {
    total.passed += passed
    total.failed += failed.length
    total.skipped += skipped.length
  }
  if (total.skipped > 0) console.log('\nSkipped:')
  for (const { file, skipped } of results) {
    for (const { name, text } of skipped) console.log(`  ${file}: ${name} (${text})`)
  }
  if (total.failed > 0) console.log('\nFailed:')
  for (const { file, failed } of results) {
    for (const { name } of failed) console.log(name === file ? `  ${file}` : `  ${file}: ${name}`)
  }
  console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`)
  return total.failed > 0 || total.passed + total.skipped === 0 ? 1 : 0
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}
