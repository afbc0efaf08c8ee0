/** A trace that begins here and is not kept: it says so to what follows. */
import type { BusSpan } from './bus-tracer.ts'
import { newSpanId, newTraceId } from './trace-ids.ts'

export class UnsampledRoot implements BusSpan {
  #trace: string | undefined

  /** It has ids only when something follows. */
  get trace(): string {
    this.#trace ??= `00-${newTraceId()}-${newSpanId()}-00`
    return this.#trace
  }

  end(): void {}
}
