import { type CallOptions, Service } from 'signalbox'

interface Call {
  service: string
  payload?: unknown
  options?: CallOptions
}

/** Calls a service from inside this node; says the code of an error instead of throwing it. */
export default class Relay extends Service<Call> {
  async handle({ service, payload, options }: Call) {
    const startMs = performance.now()
    const result = await this.invoke(service, payload, options).then(
      value => ({ value }),
      ({ code, message, status, details, retryable }) => ({
        error: { code, message, status, details, retryable },
      }),
    )
    return { ...result, ms: performance.now() - startMs }
  }
}
