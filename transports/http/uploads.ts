/** multipart/form-data (RFC 7578): fields in memory, files on disk under names of our own. */
import { randomUUID } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import busboy from '@fastify/busboy'
import { SignalboxError, toSignalboxError } from '../../core/errors.ts'
import type { HttpChannelSettings } from './channel-options.ts'
import { BodyGuard, type BodySpeed } from './watchdog.ts'

/** An uploaded file. It is removed when the request is settled. */
export interface UploadedFile {
  /** Name of the form field. */
  name: string
  /** The sender's name for it, without any folder; for people, not for paths. */
  filename: string
  mediaType: string
  /** Where it is. */
  path: string
  bytes: number
}

/** The payload of a multipart request. */
export interface MultipartPayload {
  /** Null-prototype; a field that came several times is a list. */
  fields: Record<string, string | string[]>
  files: UploadedFile[]
}

type Parser = InstanceType<typeof busboy.Busboy>
type Headers = ConstructorParameters<typeof busboy.Busboy>[0]['headers']
type Limits = HttpChannelSettings['limits']

/** The private folder of one channel. */
export class UploadFolder {
  readonly #parent: string
  #folder: Promise<string> | undefined

  constructor(parent: string | undefined) {
    this.#parent = parent ?? tmpdir()
  }

  /** A new path in the folder, which only this process's user can read (mkdtemp makes it 0700). */
  async newPath(): Promise<string> {
    this.#folder ??= mkdtemp(path.join(this.#parent, 'signalbox-uploads-'))
    return path.join(await this.#folder, randomUUID())
  }

  /** Removes the folder with all that is in it. */
  async remove(): Promise<void> {
    const folder = this.#folder
    this.#folder = undefined
    if (folder) await rm(await folder, { recursive: true, force: true })
  }
}

/** Removes the files of a settled request. */
export async function removeUploads(files: readonly UploadedFile[]): Promise<void> {
  await Promise.all(files.map(file => rm(file.path, { force: true })))
}

/**
 * The last component of a sender's file name: no folders, drive letters, control or direction characters, at
 * most 255 bytes.
 */
export function sanitizeFilename(name: string): string {
  const base = name.normalize('NFC').split(/[/\\]/).at(-1) ?? ''
  const clean = base
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is taken out
    .replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')
    .replace(/^[A-Za-z]:/, '')
    .replace(/[<>:"|?*]/g, '_')
    .replace(/^[. ]+|[. ]+$/g, '')
  let cut = clean
  while (Buffer.byteLength(cut) > 255) cut = cut.slice(0, -1)
  return cut.toWellFormed() || 'file'
}

/** Reads one multipart request. */
export class MultipartReader extends BodyGuard {
  readonly payload: MultipartPayload = { fields: Object.create(null), files: [] }
  readonly #limits: Limits
  readonly #maxBytes: number
  readonly #folder: UploadFolder
  readonly #writing: Promise<void>[] = []
  readonly #outcome = Promise.withResolvers<void>()
  #failed = false

  constructor(
    request: IncomingMessage,
    limits: Limits,
    maxBytes: number,
    folder: UploadFolder,
    speed: BodySpeed,
  ) {
    super(request, speed)
    this.#limits = limits
    this.#maxBytes = maxBytes
    this.#folder = folder
  }

  get bytes(): number {
    return this.received
  }

  /**
   * Resolves with fields and files when all is on disk. Rejects with a SignalboxError, early, and has removed
   * its files then.
   * @param source The request, or its decompressed body.
   */
  async read(source: Readable, headers: IncomingHttpHeaders): Promise<MultipartPayload> {
    try {
      const parser = this.#parser(headers)
      this.#feed(source, parser)
      await this.#outcome.promise
      await Promise.all(this.#writing)
      return this.payload
    } catch (error) {
      await Promise.allSettled(this.#writing)
      await removeUploads(this.payload.files)
      throw error
    } finally {
      this.unwatch()
    }
  }

  protected fail(error: Error): void {
    this.#failed = true
    this.#outcome.reject(error)
  }

  #parser(headers: IncomingHttpHeaders): Parser {
    const { maxParts, maxFields, maxFieldBytes } = this.#limits
    const limits = {
      parts: maxParts,
      fields: maxFields,
      fieldSize: maxFieldBytes,
      fieldNameSize: 256,
      headerPairs: 32,
      headerSize: 8192,
    }
    let parser: Parser
    try {
      parser = new busboy.Busboy({ headers: headers as Headers, limits })
    } catch (error) {
      throw new SignalboxError(
        'SIGNALBOX_FORMAT_INVALID',
        `not multipart/form-data: ${(error as Error).message}`,
      )
    }
    parser.on('field', (name, value, nameCut, valueCut) => this.#field(name, value, nameCut || valueCut))
    parser.on('file', (name, stream, filename, _encoding, mediaType) => {
      const written = this.#file(name, stream, filename, mediaType)
      this.#writing.push(written)
      written.catch((error: Error) => this.fail(error))
    })
    parser.once('partsLimit', () => this.fail(limit('maxParts', maxParts, 'parts')))
    parser.once('fieldsLimit', () => this.fail(limit('maxFields', maxFields, 'fields')))
    parser.on('error', error => this.fail(malformed(error)))
    parser.once('finish', () => this.#outcome.resolve())
    return parser
  }

  #feed(source: Readable, parser: Parser): void {
    source.on('data', (chunk: Buffer) => {
      if (this.#failed) return
      this.received += chunk.length
      if (this.received > this.#maxBytes) return this.fail(limit('maxBodyBytes', this.#maxBytes, 'bytes'))
      if (parser.write(chunk) || this.#failed) return
      source.pause()
      parser.once('drain', () => source.resume())
    })
    source.once('end', () => parser.end())
    const broken = () =>
      this.fail(new SignalboxError('SIGNALBOX_CANCELLED', 'the client went away during an upload'))
    source.once('error', broken)
    source.once('close', () => !source.readableEnded && broken())
    // A reader that failed must not leave the parser's file streams, and with them the writers, waiting.
    this.#outcome.promise.catch(() => {
      source.resume()
      parser.destroy()
      for (const stream of this.#streams) stream.destroy(new Error('the upload was given up'))
    })
  }

  readonly #streams = new Set<Readable>()

  #field(name: string | undefined, value: string, truncated: boolean): void {
    if (this.#failed) return
    if (truncated) {
      this.fail(limit('maxFieldBytes', this.#limits.maxFieldBytes, 'bytes in a field'))
      return
    }
    const key = name ?? ''
    if (key === '__proto__') {
      this.fail(malformed(new Error("the field name '__proto__' is not allowed")))
      return
    }
    const { fields } = this.payload
    const before = fields[key]
    if (before === undefined) fields[key] = value
    else if (Array.isArray(before)) before.push(value)
    else fields[key] = [before, value]
  }

  async #file(
    name: string | undefined,
    stream: Readable,
    sent: string | undefined,
    mediaType: string,
  ): Promise<void> {
    this.#streams.add(stream)
    stream.on('error', () => this.#streams.delete(stream))
    if (name === '__proto__') throw malformed(new Error("the field name '__proto__' is not allowed"))
    const filename = sanitizeFilename(sent ?? '')
    this.#checkExtension(filename)
    const target = await this.#folder.newPath()
    const file: UploadedFile = { name: name ?? '', filename, mediaType, path: target, bytes: 0 }
    this.payload.files.push(file)
    stream.on('data', (chunk: Buffer) => {
      file.bytes += chunk.length
    })
    try {
      await pipeline(stream, createWriteStream(target, { flags: 'wx', mode: 0o600 }))
    } catch (error) {
      const full = (error as NodeJS.ErrnoException).code === 'ENOSPC'
      if (!full) throw toSignalboxError(error, 'SIGNALBOX_ACTOR_FAILED')
      throw new SignalboxError('SIGNALBOX_OVERLOADED', 'there is no space left for uploads', { status: 507 })
    } finally {
      this.#streams.delete(stream)
    }
  }

  #checkExtension(filename: string): void {
    const allowed = this.#limits.uploadExtensions
    if (!allowed || allowed.includes(path.extname(filename).toLowerCase())) return
    throw new SignalboxError(
      'SIGNALBOX_FORMAT_UNSUPPORTED',
      `files like ${JSON.stringify(filename)} are not accepted`,
      {
        details: { accepted: allowed },
      },
    )
  }
}

function limit(name: string, max: number, of: string): SignalboxError {
  return new SignalboxError('SIGNALBOX_FORMAT_LIMIT', `the multipart body has more than ${max} ${of}`, {
    details: { limit: name, max },
  })
}

function malformed(error: unknown): SignalboxError {
  return new SignalboxError(
    'SIGNALBOX_FORMAT_INVALID',
    `malformed multipart body: ${(error as Error).message}`,
  )
}
