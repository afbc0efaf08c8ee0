/** Opens the store in a folder and says what happened: a process of its own, which tests limit, kill and wreck. */
import { SignalboxError } from '../../errors.ts'
import { openLmdbStore } from './lmdb-store.ts'

const [folder, task = 'hold'] = process.argv.slice(2)

const tasks: Record<string, () => Promise<unknown>> = {
  /** Opens the store and keeps it until the process is killed. */
  async hold() {
    await openLmdbStore({ folder: folder! })
    setInterval(() => {}, 1000)
    return 'open'
  },
  /** Writes until there is no room, then shows that what was there is there, and that room can be made. */
  async fill() {
    const store = await openLmdbStore({ folder: folder! })
    let count = 0
    let code: string | undefined
    while (code === undefined) {
      code = await outcome(() => store.put('a', `k${String(count).padStart(6, '0')}`, 'x'.repeat(3000)))
      if (code === undefined) count++
    }
    const kept = (await store.list('a')).length
    for (const { key } of await store.list('a', { limit: 50 })) await store.delete('a', key)
    const after = await outcome(() => store.put('a', 'after', 'x'.repeat(3000)))
    const damage = await store.verify()
    await store.close()
    return { count, code, kept, after, damage }
  },
  /** Reads everything: values that are right, and codes of those that cannot be read. */
  async read() {
    const store = await openLmdbStore({ folder: folder! })
    const codes: string[] = []
    let right = 0
    for (let i = 0; i < 200; i++) {
      const code = await outcome(async () => {
        const record = await store.get('a', `k${i}`)
        if (record === undefined) codes.push('missing')
        else if (record.value !== `${i}`.repeat(20)) codes.push('WRONG')
        else right++
      })
      if (code !== undefined) codes.push(code)
    }
    return { right, codes: [...new Set(codes)] }
  },
}

async function outcome(run: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    return error instanceof SignalboxError ? error.code : String(error)
  }
}

try {
  process.stdout.write(`${JSON.stringify(await tasks[task]!())}\n`)
} catch (error) {
  if (!(error instanceof SignalboxError)) throw error
  process.stdout.write(`${JSON.stringify({ code: error.code })}\n`)
}
