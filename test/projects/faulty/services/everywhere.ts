import { Service } from 'signalbox'

/** Asks keyed services in all workers for something they never answer; says how the first one of them failed. */
export default class Everywhere extends Service {
  async handle() {
    const others = new AbortController()
    const options = { signal: others.signal }
    const asks = Array.from({ length: 16 }, (_, key) =>
      this.invoke(`victim#${key}`, { fault: 'hang' }, options).catch((error: { code?: string }) => ({
        code: error.code,
      })),
    )
    try {
      return await Promise.race(asks)
    } finally {
      others.abort()
    }
  }
}
