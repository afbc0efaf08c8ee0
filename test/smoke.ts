/**
 * `npm run smoke`: runs `npm start` as a user does, sends the example invoice, and stops it. Exits with 0 when the
 * bus answered as the README says and stopped cleanly.
 */
import '../cli/node-version.mjs'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

/** Where the example listens; the test of this file uses another port. */
const BUS = process.env.SIGNALBOX_SMOKE_URL ?? 'http://127.0.0.1:7710'
const INVOICE = 'examples/invoice-hub/data/en16931/ubl-tc434-example1.xml'
const INVOICE_PATH = '/invoices'
const START_MS = 60_000
const ANSWER_MS = 10_000
const STOP_MS = 30_000

try {
  await smoke()
  console.log('smoke: the bus started, answered, took an invoice and stopped')
} catch (error) {
  console.error(`smoke: ${(error as Error).message}`)
  process.exitCode = 1
}

async function smoke(): Promise<void> {
  const other = await fetch(BUS, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(() => undefined)
  if (other !== undefined) throw new Error(`another program listens on ${BUS}: stop it first`)
  // A group of its own, so that whatever goes wrong nothing is left running.
  const npm = spawn('npm', ['start'], { stdio: ['ignore', 'inherit', 'inherit'], detached: true })
  const exited = new Promise<string>(resolve => {
    npm.on('error', error => resolve(error.message))
    npm.on('exit', (code, signal) => resolve(signal ?? String(code)))
  })
  try {
    await waitUntilUp(npm, exited)
    await sendInvoice()
    // npm does not pass SIGTERM on, so the bus itself gets it; its exit code comes back through npm.
    process.kill(findBus(npm.pid!), 'SIGTERM')
    const ending = await Promise.race([exited, delay(STOP_MS, 'still running', { ref: false })])
    if (ending !== '0') throw new Error(`after SIGTERM, \`npm start\` should exit with 0, but: ${ending}`)
  } finally {
    killGroup(npm)
  }
}

async function waitUntilUp(npm: ChildProcess, exited: Promise<string>): Promise<void> {
  const deadline = performance.now() + START_MS
  let last: unknown
  while (performance.now() < deadline) {
    if (npm.exitCode !== null || npm.pid === undefined) {
      throw new Error(`\`npm start\` ended before it answered: ${await exited}`)
    }
    try {
      const response = await fetch(`${BUS}/hello`, { signal: AbortSignal.timeout(ANSWER_MS) })
      if (response.ok) return
      last = `status ${response.status}`
    } catch (error) {
      last = (error as Error).cause ?? error
    }
    await delay(100)
  }
  throw new Error(`${BUS}/hello did not answer within ${START_MS} ms: ${last}`)
}

async function sendInvoice(): Promise<void> {
  const body = readFileSync(INVOICE, 'utf8')
  const number = /<cbc:ID>([^<]+)<\/cbc:ID>/.exec(body)?.[1]
  if (number === undefined) throw new Error(`${INVOICE} has no invoice number`)
  const response = await fetch(BUS + INVOICE_PATH, {
    method: 'POST',
    headers: { 'content-type': 'application/xml' },
    body,
    signal: AbortSignal.timeout(ANSWER_MS),
  })
  const answer = await response.text()
  if (!response.ok) throw new Error(`POST ${INVOICE_PATH} answered ${response.status}: ${answer}`)
  const got = (JSON.parse(answer) as { number?: unknown }).number
  if (got !== number) throw new Error(`POST ${INVOICE_PATH} answered number ${got} instead of ${number}`)
}

/** The process of the group that runs cli/main.ts itself, not npm or the shell that npm uses. */
function findBus(group: number): number {
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    try {
      const pgrp = /\) \S+ \d+ (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1]
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
      if (Number(pgrp) === group && args.slice(1).includes('cli/main.ts')) return Number(pid)
    } catch (error) {
      // The process ended while we looked at it.
      if (!/ENOENT|ESRCH/.test((error as NodeJS.ErrnoException).code ?? '')) throw error
    }
  }
  throw new Error('the process of the bus is not there any more')
}

function killGroup(npm: ChildProcess): void {
  if (npm.pid === undefined) return
  try {
    process.kill(-npm.pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
