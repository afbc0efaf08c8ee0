import { realpath, stat } from 'node:fs/promises'
import { Service } from 'signalbox'

interface Upload {
  fields: Record<string, unknown>
  files: { filename: string; path: string; bytes: number }[]
}

/** Says where uploaded files are; other payloads have none. */
export default class Uploaded extends Service<Upload> {
  async handle(payload: Partial<Upload> | undefined) {
    const fields = payload?.fields ?? {}
    const files = Array.isArray(payload?.files) ? payload.files : []
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
