import { realpath, stat } from 'node:fs/promises'
import { Service } from 'signalbox'

interface Upload {
  fields: Record<string, unknown>
  files: { filename: string; path: string; bytes: number }[]
}

/** Says where uploaded files are. */
export default class Uploaded extends Service<Upload> {
  async handle({ fields, files }: Upload) {
    const seen = files.map(async ({ filename, path, bytes }) => ({
      filename,
      path,
      real: await realpath(path),
      mode: (await stat(path)).mode & 0o777,
      bytes,
    }))
    return { fields: Object.keys(fields).length, files: await Promise.all(seen) }
  }
}
