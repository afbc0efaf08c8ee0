/**
 * State of routes and services that has to survive a restart: records in a store of the keeper, for all workers of the
 * node.
 */
import type { ActorSpec } from '../../core/actor/behaviour.ts'
import type { ActorSystem } from '../../core/actor/index.ts'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { Change, ListOptions, Outcome, Store, StoreRecord } from '../../core/store/store.ts'

/** Where the keeper answers. */
export const STATE = 'system/state'

/** The part of a store that works from afar. The promises are those of {@link Store}. */
export type StateStore = Pick<Store, 'get' | 'list' | 'put' | 'delete' | 'transact'>

type StateRequest =
  | { op: 'get'; collection: string; key: string }
  | { op: 'list'; collection: string; options: ListOptions | undefined }
  | { op: 'put'; collection: string; key: string; value: unknown; ifRevision: number | undefined }
  | { op: 'delete'; collection: string; key: string; ifRevision: number | undefined }
  | { op: 'transact'; changes: readonly Change[] }

/** The actor that a {@link remoteState} asks. */
export function stateActor(store: StateStore): ActorSpec {
  return {
    concurrency: 4_096,
    mailboxCapacity: 16_384,
    behaviour: () => ({
      receive: async (payload, envelope) => {
        try {
          envelope.resolve(await operate(store, payload as StateRequest))
        } catch (thrown) {
          // What a store refuses is no failure of its actor.
          envelope.reject(toSignalboxError(thrown, 'SIGNALBOX_STORE_UNAVAILABLE'))
        }
      },
    }),
  }
}

/** The state of the node, from any of its workers. */
export function remoteState(system: ActorSystem): StateStore {
  const ask = (request: StateRequest) => system.ask(STATE, request)
  return {
    get: <T>(collection: string, key: string) =>
      ask({ op: 'get', collection, key }) as Promise<StoreRecord<T> | undefined>,
    list: <T>(collection: string, options?: ListOptions) =>
      ask({ op: 'list', collection, options }) as Promise<StoreRecord<T>[]>,
    put: <T>(collection: string, key: string, value: T, options?: { ifRevision?: number }) =>
      ask({ op: 'put', collection, key, value, ifRevision: options?.ifRevision }) as Promise<StoreRecord<T>>,
    delete: (collection, key, options) =>
      ask({ op: 'delete', collection, key, ifRevision: options?.ifRevision }) as Promise<boolean>,
    transact: changes => ask({ op: 'transact', changes }) as Promise<Outcome[]>,
  }
}

function operate(store: StateStore, request: StateRequest): Promise<unknown> {
  switch (request.op) {
    case 'get':
      return store.get(request.collection, request.key)
    case 'list':
      return store.list(request.collection, request.options)
    case 'put':
      return store.put(request.collection, request.key, request.value, guard(request.ifRevision))
    case 'delete':
      return store.delete(request.collection, request.key, guard(request.ifRevision))
    case 'transact':
      return store.transact(request.changes)
    default: {
      const { op } = request as { op?: unknown }
      throw new SignalboxError('SIGNALBOX_USAGE', `the state knows no operation '${String(op)}'`)
    }
  }
}

function guard(ifRevision: number | undefined): { ifRevision?: number } {
  return ifRevision === undefined ? {} : { ifRevision }
}
