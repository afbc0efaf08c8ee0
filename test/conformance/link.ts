/**
 * The conformance suite of links: what two actor systems may rely on, whatever carries the batches between them.
 * Everything is driven through `ActorSystem`, as a service would.
 */
import { test } from 'node:test'
import type { ActorSpec } from '../../core/actor/behaviour.ts'
import type { ActorSystem } from '../../core/actor/system.ts'
import type { Guest } from '../../core/router/link-guest.ts'
import { delivery } from './link-delivery.ts'
import { failures } from './link-failures.ts'
import { flow } from './link-flow.ts'
import { guests } from './link-guests.ts'
import { within } from './wait.ts'

export interface LinkEnd {
  readonly system: ActorSystem
  /** Starts an actor here; it can be reached from the other end when this resolves. */
  spawn(address: string, spec: ActorSpec): Promise<void>
  /** What the link to the other end says of itself. */
  inspect(): Record<string, unknown>
  /** Says that nothing more comes from here. */
  finish(): void
  /** Resolves when the other end has said so. */
  finished(): Promise<void>
}

export interface LinkPair {
  readonly a: LinkEnd
  readonly b: LinkEnd
  /** Breaks the link as its worst failure would; both ends get to know. */
  cut(): void | Promise<void>
  /** The code of the error that `a` sees then. */
  readonly cutCode: string
  /** Makes `b` receive bytes that `a` never encoded. */
  inject(body: Uint8Array<ArrayBuffer>): void
  close(): void | Promise<void>
}

export interface PairOptions {
  windowMessages?: number
  windowBytes?: number
  /** What `a` may do at `b`. */
  guest?: Guest
}

export interface LinkImplementation {
  makePair(options: PairOptions): LinkPair | Promise<LinkPair>
  /** Its pairs have fixed windows and no guests: the scenarios that need others are left out. */
  fixed?: boolean
}

export interface LinkScenario {
  name: string
  options?: PairOptions
  run(pair: LinkPair): Promise<void>
}

/** Runs all scenarios on one implementation. */
export function linkConformance(name: string, implementation: LinkImplementation): void {
  for (const scenario of [...delivery, ...failures, ...flow, ...guests]) {
    if (scenario.options && implementation.fixed) continue
    test(`${name}: ${scenario.name}`, async t => {
      const pair = await implementation.makePair(scenario.options ?? {})
      t.after(() => pair.close())
      await within(scenario.run(pair), scenario.name, 20_000)
    })
  }
}
