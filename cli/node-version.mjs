// @ts-check
// Stops with advice when this Node.js is too old. Plain JavaScript: an old Node.js cannot load a .ts file, so
// the npm scripts run this first, and entry files import it first.
const OLDEST = 24

/**
 * What to tell someone whose Node.js is too old; undefined when it is new enough.
 * @param {string} version as in `process.versions.node`
 * @returns {string | undefined}
 */
export function nodeAdvice(version) {
  if (Number.parseInt(version, 10) >= OLDEST) return undefined
  return [
    `Signalbox needs Node.js ${OLDEST} or later, and this is ${version}.`,
    'On Linux x64 `npm ci` brings a private Node.js for the npm scripts: use `npm start` and `npm test`, and do',
    `not leave out optional dependencies. Elsewhere, install Node.js ${OLDEST} from https://nodejs.org.`,
  ].join('\n')
}

const advice = nodeAdvice(process.versions.node)
if (advice !== undefined) {
  console.error(advice)
  process.exit(1)
}
