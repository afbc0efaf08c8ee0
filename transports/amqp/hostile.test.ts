/** Servers that are silent, or speak nonsense: a typed error within the limits of time, and no open socket. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import net, { type AddressInfo, type Socket } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { SignalboxError } from '../../core/errors.ts'
import { within } from '../../test/conformance/wait.ts'
import { makeChannel, makeConnection } from './test-harness.ts'

/** A server of a few lines; `speak` gets each socket. */
async function fakeServer(t: TestContext, speak: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = net.createServer(socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.on('data', () => {})
    speak(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `amqp://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets }
}

const isTyped = (error: unknown) => error instanceof SignalboxError && error.code.startsWith('SIGNALBOX_')
const method = (classId: number, methodId: number, args: Buffer, channel = 0) => {
  const head = Buffer.alloc(11)
  head.writeUInt8(1, 0)
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(4 + args.length, 3)
  head.writeUInt16BE(classId, 7)
  head.writeUInt16BE(methodId, 9)
  return Buffer.concat([head, args, Buffer.from([0xce])])
}
const long = (text: string) => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, Buffer.from(text)])
}
/** connection.start, offering PLAIN. */
const START = method(10, 10, Buffer.concat([Buffer.from([0, 9]), long(''), long('PLAIN'), long('en_US')]))

describe('AMQP: servers that are none', () => {
  test('a server that says nothing is given up in time, and its socket closed', async t => {
    const { url, sockets } = await fakeServer(t, () => {})
    const { connection } = makeConnection(t, { url, connectTimeoutMs: 100 })
    await assert.rejects(within(connection.connect(), 'connect'), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_CONNECT_FAILED')
      assert.match(error.message, /within 100 ms/)
      return true
    })
    for (const socket of sockets) await once(socket, 'close')
  })

  test('a server that trickles does not stretch the limit', async t => {
    const { url } = await fakeServer(t, socket => {
      let at = 0
      const timer = setInterval(() => socket.write(START.subarray(at, ++at)), 20)
      socket.on('close', () => clearInterval(timer))
    })
    const { channel } = makeChannel(t, { url, queue: 'q', connectTimeoutMs: 150 })
    await assert.rejects(within(channel.connect(never), 'connect', 2_000), {
      code: 'SIGNALBOX_CONNECT_FAILED',
    })
  })

  test('close while a silent server is connected to ends at once', async t => {
    const { url, sockets } = await fakeServer(t, () => {})
    const { connection } = makeConnection(t, { url, connectTimeoutMs: 60_000 })
    const connecting = connection.connect()
    connecting.catch(() => {})
    await connection.close()
    await assert.rejects(within(connecting, 'connect', 1_000), isTyped)
    for (const socket of sockets) await once(socket, 'close')
  })

  test('a frame that claims to be larger than agreed is refused before it comes', async t => {
    const huge = Buffer.from([1, 0, 0, 0x7f, 0xff, 0xff, 0xff])
    const { url } = await fakeServer(t, socket => socket.write(huge))
    const { connection } = makeConnection(t, { url })
    await assert.rejects(within(connection.connect(), 'connect', 2_000), (error: SignalboxError) => {
      assert.equal(error.code, 'SIGNALBOX_CONNECT_FAILED')
      assert.match(error.message, /exceeds/)
      return true
    })
  })

  test('nonsense instead of a handshake is a typed error', async t => {
    const say: { bytes: Buffer } = { bytes: Buffer.alloc(0) }
    const { url } = await fakeServer(t, socket => socket.end(say.bytes))
    const nonsense = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      // A frame that is right but for what is in it.
      fc.uint8Array({ maxLength: 48 }).map(args => method(10, 10, Buffer.from(args))),
      fc.uint8Array({ maxLength: 48 }).map(args => Buffer.concat([START, method(10, 30, Buffer.from(args))])),
      fc
        .tuple(fc.nat(90), fc.nat(90), fc.uint8Array({ maxLength: 32 }))
        .map(([classId, methodId, args]) =>
          Buffer.concat([START, method(classId, methodId, Buffer.from(args))]),
        ),
    )
    for (const bytes of fc.sample(nonsense, { numRuns: 300, seed: 7 })) {
      say.bytes = Buffer.from(bytes)
      const { connection } = makeConnection(t, { url, connectTimeoutMs: 2_000 })
      await assert.rejects(within(connection.connect(), `connect: ${say.bytes.toString('hex')}`), isTyped)
      await connection.close()
    }
  })
})

async function never(): Promise<never> {
  throw new Error('nothing may arrive')
}
