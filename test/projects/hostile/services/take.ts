import { Service } from 'signalbox'

/**
 * Does with what it gets what careless services do: copies it, merges it deeply, walks over it. Says what it saw.
 */
export default class Take extends Service<unknown> {
  handle(payload: unknown) {
    const { attributes } = this.request.channel!
    const seen = merge({}, { payload, attributes, headers: this.request.headers })
    return { type: typeOf(payload), keys: Object.keys(seen).length, value: echoed(payload) }
  }
}

/** The deep merge of many libraries, without their guard against names like `__proto__`. */
function merge(into: Record<string, unknown>, from: object): Record<string, unknown> {
  const open: [Record<string, unknown>, object][] = [[into, from]]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const [target, source] = next
    for (const [key, value] of Object.entries(source)) {
      if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) target[key] = value
      else {
        if (typeof target[key] !== 'object' && typeof target[key] !== 'function') target[key] = {}
        open.push([target[key] as Record<string, unknown>, value as object])
      }
    }
  }
  return into
}

function typeOf(payload: unknown): string {
  return Buffer.isBuffer(payload) ? 'bytes' : Array.isArray(payload) ? 'array' : typeof payload
}

/** Small payloads go back as they came. */
function echoed(payload: unknown): unknown {
  if (typeof payload === 'string') return payload.length < 1_000 ? payload : payload.length
  if (typeof payload !== 'object' || payload === null) return typeof payload === 'number' ? payload : null
  if (ArrayBuffer.isView(payload)) return payload.byteLength
  return Object.keys(payload).length < 20 && depth(payload) < 20 ? payload : null
}

function depth(value: unknown): number {
  let level: unknown[] = [value]
  for (let at = 0; ; at++) {
    level = level.flatMap(item => (typeof item === 'object' && item !== null ? Object.values(item) : []))
    if (level.length === 0 || at > 20) return at
  }
}
