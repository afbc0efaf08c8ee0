/** JSON with one spelling for equal data: keys sorted by UTF-16 units, no white space (after RFC 8785). */

/**
 * The canonical JSON of plain data. Values that JSON does not know are left out or become null as JSON.stringify has
 * it; bigints become text. Never throws for what {@link redact} returns.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner === 'bigint') return String(inner)
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner
    // Without a prototype, so that a key named __proto__ is a key.
    const sorted: Record<string, unknown> = Object.create(null)
    for (const key of Object.keys(inner).sort()) sorted[key] = (inner as Record<string, unknown>)[key]
    return sorted
  })
}
