/** What a node keeps on disk, in the folder `.signalbox` of its project: the store, the keys, the admin token. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { SignalboxError } from '../core/errors.ts'
import { type ActLog, AuditChain, type ChainEntry } from '../core/security/chain.ts'
import { loadKeyRing } from '../core/security/master-key.ts'
import { type KeyValueStore, SecretVault } from '../core/security/secrets.ts'
import { AdminTokens } from '../core/security/tokens.ts'
import { openLmdbStore } from '../core/store/lmdb/lmdb-store.ts'
import type { Store } from '../core/store/store.ts'

/** Everything a node remembers. */
export interface State {
  folder: string
  store: Store
  vault: SecretVault
  tokens: AdminTokens
  acts: AuditChain
  close(): Promise<void>
}

const ACTS = 'acts'
const HEAD = 'act-head'

/** Opens the state of a node, or makes it. Rejects with SIGNALBOX_STORE_LOCKED when another node has it open. */
export async function openState(folder: string): Promise<State> {
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const store = await openLmdbStore({ folder: join(folder, 'store') })
  const ring = await loadKeyRing(join(folder, 'master.key'))
  return {
    folder,
    store,
    vault: new SecretVault(keyValues(store, 'secrets'), ring),
    tokens: new AdminTokens(keyValues(store, 'tokens')),
    acts: new AuditChain(actLog(store)),
    close: () => store.close(),
  }
}

/** A collection of texts. */
function keyValues(store: Store, collection: string): KeyValueStore {
  return {
    get: async name => (await store.get<string>(collection, name))?.value,
    put: async (name, record) => {
      await store.put(collection, name, record)
    },
    delete: async name => {
      await store.delete(collection, name)
    },
    list: async () => (await store.list(collection)).map(({ key }) => key),
  }
}

/** The administrative acts as records that are written once, so that two writers cannot take the same place. */
function actLog(store: Store): ActLog {
  return {
    async append(entry) {
      try {
        await store.transact([
          { type: 'put', collection: ACTS, key: keyOfAct(entry.seq), value: entry, ifRevision: 0 },
          { type: 'put', collection: 'node', key: HEAD, value: entry.seq },
        ])
        return true
      } catch (error) {
        if ((error as SignalboxError).code === 'SIGNALBOX_STORE_CONFLICT') return false
        throw error
      }
    },
    async last() {
      const head = await store.get<number>('node', HEAD)
      return head && (await store.get<ChainEntry>(ACTS, keyOfAct(head.value)))?.value
    },
    async *read(from) {
      let after = keyOfAct(from - 1)
      for (;;) {
        const page = await store.list<ChainEntry>(ACTS, { after, limit: 1_000 })
        for (const { value } of page) yield value
        if (page.length < 1_000) return
        after = page.at(-1)!.key
      }
    },
  }
}

/** Keys in the order of their numbers. */
function keyOfAct(seq: number): string {
  return String(seq).padStart(12, '0')
}
