/** Names of consumers: the same for the same channel of a worker, so that it finds again what it had taken. */
import { hostname } from 'node:os'
import { threadId } from 'node:worker_threads'

const taken = new Set<string>()

/**
 * Takes a name that no other instance of this process has. After a lost link the next instance gets the same one;
 * where two run at once (one replaces the other), the second has its own.
 */
export function takeConsumerName(prefix: string | undefined, channel: string): string {
  const base = `${prefix ?? hostname()}-${process.pid}-${threadId}-${channel}`
  let name = base
  for (let i = 2; taken.has(name); i++) name = `${base}.${i}`
  taken.add(name)
  return name
}

/** Gives a name back. */
export function releaseConsumerName(name: string): void {
  taken.delete(name)
}
