/** Cancellation, for those who only wait for it. */

/**
 * What an AbortSignal is to those who wait for it. A cheaper object may stand in for one where a signal for each
 * message would cost more than the message: making one and listening to it takes over a microsecond.
 */
export interface AbortSource {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}
