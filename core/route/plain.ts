/** A checked route as plain data, for those who look at it from elsewhere: functions become texts. */
import type { CheckedRoute } from './check.ts'

const MAX_SOURCE = 200

export function plainRoute(route: CheckedRoute): CheckedRoute {
  return plain(route) as CheckedRoute
}

function plain(value: unknown): unknown {
  if (typeof value === 'function') return `ƒ ${String(value).replace(/\s+/g, ' ').slice(0, MAX_SOURCE)}`
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]))
}
