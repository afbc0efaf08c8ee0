/** A trace that begins here and is not kept: it says so to what follows. */
import type { BusSpan } from './bus-tracer.ts'
import type { Observation } from './observe.ts'
import { newSpanId, newTraceId } from './trace-ids.ts'

/** Span and observation in one: most messages of a busy bus have nothing else. */
export class UnsampledRoot implements Omit<BusSpan, 'within'>, Observation {
  #trace: string | undefined

  /** It has ids only when something follows. */
  get trace(): string {
    this.#trace ??= `00-${newTraceId()}-${newSpanId()}-00`
    return this.#trace
  }

  get active(): boolean {
    return false
  }

  within<T>(handle: () => T): T {
    return handle()
  }

  end(): void {}
}
