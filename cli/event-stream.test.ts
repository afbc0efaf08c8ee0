import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { eventsOf } from './event-stream.ts'

async function read(chunks: readonly Uint8Array[]): Promise<string[]> {
  const found: string[] = []
  const body = async function* () {
    yield* chunks
  }
  for await (const { type, data } of eventsOf(body())) found.push(`${type} ${data}`)
  return found
}

test('events are the same however the bytes are cut and lines end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('\n', '\r\n', '\r'),
      fc.integer({ min: 1, max: 7 }),
      async (end, size) => {
        const lines = [
          ': hi',
          '',
          'data: {"a":"ü"}',
          '',
          'event: x',
          'data:one',
          'data: two',
          'id: 3',
          '',
          'data',
          '',
          '',
        ]
        const bytes = Buffer.from(`${lines.join(end)}x`)
        const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        )
        assert.deepEqual(await read(chunks), ['message {"a":"ü"}', 'x one\ntwo', 'message '])
      },
    ),
  )
})

test('an event without an end is refused before it fills the memory', async () => {
  const chunk = Buffer.alloc(256 * 1024, 'x')
  const endless = [Buffer.from('data: '), ...Array.from({ length: 6 }, () => chunk)]
  await assert.rejects(read(endless), { code: 'SIGNALBOX_FORMAT_LIMIT' })
  const lines = Array.from({ length: 6 }, () =>
    Buffer.concat([Buffer.from('data: '), chunk, Buffer.from('\n')]),
  )
  await assert.rejects(read(lines), { code: 'SIGNALBOX_FORMAT_LIMIT' })
})
