import { SignalboxError } from '../../core/errors.ts'
import type { HttpResponse } from './response.ts'

/** How much of an error's body goes into its details. */
const EXCERPT_CHARACTERS = 2048

/** An error status whose answer was read already, for callers that want it as a result. */
export class StatusError extends SignalboxError {
  readonly response: HttpResponse

  constructor(
    response: HttpResponse,
    method: string,
    bytes: Buffer,
    retry: { retryable: boolean; afterMs: number | undefined },
  ) {
    const { status, url, headers } = response
    const { 'set-cookie': _, ...shown } = headers
    super(
      status === 401 ? 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS' : 'SIGNALBOX_HTTP_STATUS',
      `${method} ${withoutQuery(url)}: status ${status}`,
      {
        details: {
          status,
          headers: shown,
          body: bytes.toString('utf8', 0, 4 * EXCERPT_CHARACTERS).slice(0, EXCERPT_CHARACTERS),
        },
        retryable: retry.retryable,
        ...(retry.afterMs !== undefined && { retryAfterMs: retry.afterMs }),
      },
    )
    this.response = response
  }
}

function withoutQuery(url: string): string {
  return url.split('?', 1)[0]!
}
