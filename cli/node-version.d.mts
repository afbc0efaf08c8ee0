/** What to tell someone whose Node.js is too old; undefined when it is new enough. */
export function nodeAdvice(version: string): string | undefined
