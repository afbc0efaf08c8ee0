import { Service } from 'signalbox'

const kept: unknown[] = []

const FAULTS: Record<string, () => unknown> = {
  spin: () => {
    for (;;);
  },
  heap: () => {
    for (;;) kept.push(new Array(10_000).fill({ kept: kept.length }))
  },
  buffers: () => {
    const timer = setInterval(() => {
      kept.push(Buffer.alloc(16 * 1024 * 1024, 1))
      if (kept.length > 40) clearInterval(timer)
    }, 10)
    return new Promise(() => {})
  },
  hang: () => new Promise(() => {}),
  exit: () => process.exit(7),
  throw: () => {
    setImmediate(() => {
      throw new Error('thrown outside any actor')
    })
    return new Promise(() => {})
  },
  reject: () => {
    void Promise.reject(new Error('rejected and never handled'))
    return new Promise(() => {})
  },
}

/** Does what the path says. */
export default class Fault extends Service {
  handle() {
    const { params } = this.request.channel!.attributes as { params: { fault: string } }
    return FAULTS[params.fault]!()
  }
}
