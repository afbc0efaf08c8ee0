/** References in options: `${secret:NAME}` and `${env:NAME}` stand for values that are not written down there. */
import { SignalboxError } from '../errors.ts'

/** A reference inside a text; capture 1 is its kind, capture 2 its name. */
export const REFERENCE = /\$\{(secret|env):([A-Za-z0-9_][A-Za-z0-9._/-]{0,127})\}/g

/** Where values come from. */
export interface ReferenceSources {
  /** The value of a secret; rejects when there is none. */
  secret(name: string): Promise<string>
  /** The environment; default: that of the process. */
  environment?: Readonly<Record<string, string | undefined>>
}

/** Whether a text takes its whole value from references. */
export function isReference(text: string): boolean {
  return text !== '' && text.replaceAll(REFERENCE, '') === ''
}

/**
 * A copy of plain data with all references replaced. What a value holds is not looked at again, so a secret
 * cannot refer to another. Throws SIGNALBOX_SECRET_UNKNOWN with the place of a reference that leads nowhere.
 */
export async function resolveReferences<T>(value: T, sources: ReferenceSources, pointer = ''): Promise<T> {
  if (typeof value === 'string') return (await resolveText(value, sources, pointer)) as T
  if (Array.isArray(value)) {
    return (await Promise.all(
      value.map((item, i) => resolveReferences(item, sources, `${pointer}/${i}`)),
    )) as T
  }
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype)
    return value
  const entries = Object.entries(value).map(async ([key, inner]) => {
    const step = key.replaceAll('~', '~0').replaceAll('/', '~1')
    return [key, await resolveReferences(inner, sources, `${pointer}/${step}`)]
  })
  return Object.fromEntries(await Promise.all(entries))
}

async function resolveText(text: string, sources: ReferenceSources, pointer: string): Promise<string> {
  const { secret, environment = process.env } = sources
  let resolved = ''
  let end = 0
  for (const match of text.matchAll(REFERENCE)) {
    const name = match[2]!
    resolved += text.slice(end, match.index)
    resolved += match[1] === 'secret' ? await secret(name) : fromEnvironment(environment, name, pointer)
    end = match.index + match[0].length
  }
  return resolved + text.slice(end)
}

function fromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
  pointer: string,
): string {
  const value = Object.hasOwn(environment, name) ? environment[name] : undefined
  if (value !== undefined) return value
  throw new SignalboxError(
    'SIGNALBOX_SECRET_UNKNOWN',
    `${pointer || '(all)'} refers to the environment variable ${name}, which is not set`,
    { details: { pointer, name } },
  )
}
