/** Whether a node lives and is ready, from plain facts. */

export interface HealthFacts {
  /** Workers by state, and how many there should be. */
  workers: { wanted: number; ready: number; starting: number; stuck: number }
  channels: readonly { name: string; open: boolean; lastError?: string | undefined }[]
  /** Undefined: the node has no store. */
  storeWritable: boolean | undefined
  draining: boolean
}

export interface Health {
  /** False: nothing but a restart of the process helps. */
  live: boolean
  /** False: send nothing here for now. */
  ready: boolean
  /** Why not, most serious first; with both true, what is amiss all the same. */
  reasons: string[]
}

/**
 * Liveness and readiness. A node is live as long as one worker works or is on its way: the bus replaces broken
 * workers itself. It is ready when a worker is, all channels are open, the store takes writes and it is not draining.
 */
export function health({ workers, channels, storeWritable, draining }: HealthFacts): Health {
  const serious: string[] = []
  const notes: string[] = []
  const { wanted, ready, starting, stuck } = workers
  if (draining) serious.push('the node is draining: it takes nothing new')
  if (ready === 0) serious.push(starting > 0 ? 'its workers are still starting' : 'no worker is ready')
  else if (ready < wanted) notes.push(`${ready} of ${wanted} workers are ready`)
  if (stuck > 0) notes.push(`${stuck} ${stuck === 1 ? 'worker stands' : 'workers stand'} still`)
  for (const { name, open, lastError } of channels) {
    if (!open) serious.push(`channel ${name} is not open${lastError ? `: ${lastError}` : ''}`)
  }
  if (storeWritable === false) serious.push('the store takes no writes')
  const live = draining || ready > 0 || starting > 0
  return { live, ready: serious.length === 0, reasons: [...serious, ...notes] }
}
