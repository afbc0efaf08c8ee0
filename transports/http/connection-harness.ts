/** The connection side of the conformance harness: a real HTTPS server that wants credentials. */
import type { IncomingMessage } from 'node:http'
import { serverCertificate, testCa, untrustedCertificate } from '../../test/certificates/certificates.ts'
import type { ConnectionEndpoint, TestAnswer, TestMessage } from '../../test/conformance/transport.ts'
import { httpPeer } from '../../test/http-peer.ts'

const auth = { basic: { username: 'bus', password: 'right' } }
const expected = `Basic ${Buffer.from('bus:right').toString('base64')}`

/** Opens an HTTPS server whose answers the suite gives. */
export async function openConnectionEndpoint(): Promise<ConnectionEndpoint> {
  let handler: (message: TestMessage) => Promise<TestAnswer> = async ({ payload }) => ({
    payload,
    headers: {},
  })
  const peer = await httpPeer(async (request, payload, response) => {
    if (request.headers.authorization !== expected) return response.writeHead(401).end()
    if (request.method === 'HEAD') return response.end()
    const cid = request.headers['x-signalbox-cid'] as string | undefined
    const answer = await handler({ payload, headers: plain(request), ...(cid !== undefined && { cid }) })
    return response.writeHead(200, answer.headers).end(answer.payload)
  }, serverCertificate)
  const untrusted = await httpPeer((_, __, response) => response.end(), untrustedCertificate)
  return {
    options: { url: peer.url, auth, tls: { ca: testCa }, retry: { attempts: 1 } },
    peer,
    badCredentials: { auth: { basic: { username: 'bus', password: 'wrong' } } },
    badCertificate: { url: untrusted.url },
    answer(next) {
      handler = next
    },
    async close() {
      await Promise.all([peer.stop(), untrusted.stop()])
    },
  }
}

function plain(request: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]))
}
