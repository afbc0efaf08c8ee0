/** Currency rates from a file, kept in memory for a while. */
import { readFile } from 'node:fs/promises'
import { assertValid, Type, type Validator, validator } from 'signalbox'
import { Decimal } from '../canonical.ts'

export interface RateTable {
  date: string
  perEuro: ReadonlyMap<string, string>
}

/** How long a table is used before the file is read again. */
const TTL_MS = 60_000

const table: Validator = validator({
  schema: Type.Object({
    date: Type.String({ format: 'date' }),
    perEuro: Type.Record(Type.String(), Decimal),
  }),
})

/** Gives the table of a file; `cached` when the file was not read for it. Those who ask at once wait for one reading. */
export function rateTable(
  file: URL,
  now: () => number = () => performance.now(),
): () => Promise<RateTable & { cached: boolean }> {
  let until = 0
  let current: Promise<RateTable> | undefined
  return async () => {
    if (current !== undefined && now() < until) return { ...(await current), cached: true }
    const reading = read(file)
    current = reading
    until = now() + TTL_MS
    try {
      return { ...(await reading), cached: false }
    } catch (error) {
      // The next one tries again.
      if (current === reading) current = undefined
      throw error
    }
  }
}

async function read(file: URL): Promise<RateTable> {
  const content: unknown = JSON.parse(await readFile(file, 'utf8'))
  await assertValid(table, content)
  const { date, perEuro } = content as { date: string; perEuro: Record<string, string> }
  return { date, perEuro: new Map(Object.entries(perEuro)) }
}
