/** Parts of option schemas that several security definitions share. */
import { Type } from '../schema.ts'

/** Longest name of an identity, in UTF-16 units. */
export const MAX_NAME_CHARS = 256

/** The name of an identity: anything without control characters, so it is safe in logs and headers' details. */
export function identityName(description: string) {
  return Type.String({
    minLength: 1,
    maxLength: MAX_NAME_CHARS,
    pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]+$',
    description,
  })
}

/** Roles an identity has. */
export function roleNames() {
  return Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 64 }), {
      maxItems: 64,
      description: 'Roles of this identity. Default: none.',
    }),
  )
}

/** The realm of a challenge (RFC 9110 section 11.5); the pattern keeps quotes and line breaks out of headers. */
export function realmName() {
  return Type.String({
    pattern: '^[A-Za-z0-9 ._:/-]{1,64}$',
    default: 'signalbox',
    description: 'What callers are shown as the protected area.',
  })
}
