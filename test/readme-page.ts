/** What a reader of the README is told: files to save, lines to type, and what is printed then. */
export type Step =
  | { type: 'save'; path: string; text: string }
  | { type: 'type'; lines: string[] }
  | { type: 'see'; text: string }
  | { type: 'read'; text: string }

/** The steps of a section, in order: `Save this as`, blocks of `sh`, blocks of `text`, and what is only to be read. */
export function stepsOf(page: string, heading: string): Step[] {
  const start = page.indexOf(`\n## ${heading}\n`)
  if (start < 0) throw new Error(`the page has no section '${heading}'`)
  const end = page.indexOf('\n## ', start + 1)
  const section = page.slice(start, end < 0 ? undefined : end)
  const steps: Step[] = []
  let after = 0
  for (const match of section.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)) {
    const [whole, language, text] = match as unknown as [string, string, string]
    const saved = [...section.slice(after, match.index).matchAll(/Save this as `([^`]+)`/g)].at(-1)
    after = match.index + whole.length
    if (saved) steps.push({ type: 'save', path: saved[1]!, text })
    else if (language === 'sh') steps.push({ type: 'type', lines: text.trim().split('\n') })
    else if (language === 'text') steps.push({ type: 'see', text: text.trimEnd() })
    else steps.push({ type: 'read', text })
  }
  return steps
}

/** The values that prose says are answered: inline code that is a JSON object. */
export function answersIn(page: string, heading: string): string[] {
  const start = page.indexOf(`\n## ${heading}\n`)
  const section = page.slice(start, page.indexOf('\n## ', start + 1)).replace(/^```[\s\S]*?^```$/gm, '')
  return [...section.matchAll(/`(\{"[^`]*\})`/g)].map(match => match[1]!)
}

/** A text in which all that differs from run to run is the same: times, durations, ids, workers, and the space before them. */
export function timeless(text: string): string {
  return text
    .replace(/\d\d:\d\d:\d\d\.\d{3}/g, 'TIME')
    .replace(/ +\d+(\.\d+)? m?s\b/g, '  TOOK')
    .replace(/ node\/\d+ /g, ' node/N ')
    .replace(/\b[0-9a-f]{32}\b/g, 'TRACE')
    .replace(/ {2}[\w-]{13,}$/gm, '  CID')
}
