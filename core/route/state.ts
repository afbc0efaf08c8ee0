/** What routes keep: the part of a store that they need, and how their keys are made. */
import { createHash } from 'node:crypto'
import type { SignalboxError } from '../errors.ts'
import type { Store } from '../store/store.ts'

export type RouteState = Pick<Store, 'get' | 'list' | 'put' | 'delete' | 'transact'>

/** Collections of routes. Keys begin with the name of the route. */
export const JOBS = 'route.jobs'
export const GROUPS = 'route.groups'
export const MEMBERS = 'route.members'
/** Records with `expiresAt`: see housekeeping.ts. */
export const SEEN = 'route.seen'
export const CLAIMS = 'route.claims'
export const SEQUENCES = 'route.sequences'
export const BODIES = 'route.bodies'

const PLAIN = /^[A-Za-z0-9_.:@=+-]{1,120}$/

/** Any text as a part of a key: as it is where it can be, otherwise a hash of it. */
export function keyPart(text: string): string {
  return PLAIN.test(text) ? text : `~${createHash('sha256').update(text).digest('base64url')}`
}

/** The key of a record of a step. */
export function stateKey(route: string, step: string, ...parts: string[]): string {
  return [route, step, ...parts.map(keyPart)].join('/')
}

export function isConflict(error: unknown): error is SignalboxError {
  return (error as SignalboxError).code === 'SIGNALBOX_STORE_CONFLICT'
}

/** Whether a transaction failed because of a record in this collection. */
export function conflictIn(error: SignalboxError, collection: string): boolean {
  const conflicts = (error.details?.conflicts ?? []) as { collection: string }[]
  return conflicts.some(conflict => conflict.collection === collection)
}

const MAX_TRIES = 200

/** Tries a change that other workers may come before; each attempt reads anew. */
export async function contending<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (!isConflict(error) || tries >= MAX_TRIES) throw error
    }
  }
}
