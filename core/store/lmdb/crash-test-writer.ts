/** The writer of the crash scenario: see `crashWriter` in test/conformance/store.ts. */
import { createInterface } from 'node:readline'
import { openLmdbStore } from './lmdb-store.ts'

const store = await openLmdbStore({ folder: process.argv[2]! })
createInterface(process.stdin).on('line', async line => {
  const number = Number(line)
  await Promise.all([store.put('crash', line, { number }), store.append('crash', number)])
  process.stdout.write(`${line}\n`)
})
