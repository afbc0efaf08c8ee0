/** One body of all pieces: a text, or bytes when some piece is. */
export function joined(pieces: (string | Buffer)[]): string | Buffer {
  if (pieces.every(piece => typeof piece === 'string')) return pieces.join('')
  return Buffer.concat(pieces.map(piece => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
}
