/** Makes the package.json of the published package from the one of the repository. */

/** The fields of package.json that the build reads; all others are copied or left out by name. */
export interface Manifest {
  [field: string]: unknown
  exports: Record<string, string>
  bin: Record<string, string>
}

/** What a published package has no use for. */
const LEFT_OUT = [
  'private',
  'scripts',
  'devDependencies',
  'overrides',
  'allowScripts',
  // Gives the repository a Node.js; a package must not replace that of the people who install it.
  'optionalDependencies',
]

/**
 * The published manifest: entries point to `.js` with their types. `exists` says whether a source file is there;
 * entries without one are left out and named in `missing`.
 */
export function publishedManifest(
  source: Manifest,
  exists: (path: string) => boolean,
): { manifest: Record<string, unknown>; missing: string[] } {
  const manifest = Object.fromEntries(Object.entries(source).filter(([field]) => !LEFT_OUT.includes(field)))
  const missing: string[] = []
  const present = (entries: Record<string, string>) =>
    Object.entries(entries).filter(([name, path]) => {
      if (exists(path)) return true
      missing.push(`${name} (${path})`)
      return false
    })
  manifest.exports = Object.fromEntries(
    present(source.exports).map(([name, path]) => [name, published(path)]),
  )
  manifest.bin = Object.fromEntries(present(source.bin).map(([name, path]) => [name, replaceTs(path, '.js')]))
  return { manifest, missing }
}

function published(path: string): string | { types: string; default: string } {
  return path.endsWith('.ts') ? { types: replaceTs(path, '.d.ts'), default: replaceTs(path, '.js') } : path
}

function replaceTs(path: string, extension: string): string {
  return path.replace(/\.ts$/, extension)
}
