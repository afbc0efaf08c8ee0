/** Checks of the certificates that channels show their clients. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { EndpointConfig } from '../../actors/endpoint-registry.ts'
import type { Check, Finding } from './check.ts'

const DAY_MS = 86_400_000
const SOON_DAYS = 30

/** One check for each channel with TLS. */
export function certificates(
  root: string,
  channels: readonly EndpointConfig[],
  now: () => number = Date.now,
): Check[] {
  return channels.flatMap(({ name, type, options }) => {
    const tls = (options as { tls?: unknown } | null)?.tls as { cert?: unknown; key?: unknown } | undefined
    if (typeof tls?.cert !== 'string') return []
    const { cert, key } = tls
    return [
      {
        id: `certificate:${name}`,
        title: `certificate of channel/${type}/${name}`,
        run: () => inspect(root, cert, key, now()),
      },
    ]
  })
}

async function inspect(root: string, cert: string, key: unknown, now: number): Promise<Finding> {
  const why = 'Clients refuse a certificate that is expired, not valid yet, or does not go with its key.'
  const renew =
    'Renew it: openssl req -new -key KEY, have it signed, and put the new file in the place of the old.'
  let certificate: X509Certificate
  try {
    certificate = new X509Certificate(await pem(root, cert))
  } catch (error) {
    return { status: 'fail', detail: (error as Error).message, why, fix: 'Mend tls.cert in signalbox.yaml.' }
  }
  const days = Math.floor((certificate.validToDate.getTime() - now) / DAY_MS)
  const until = certificate.validToDate.toISOString().slice(0, 10)
  const found = (status: Finding['status'], detail: string, fix = renew): Finding => ({
    status,
    detail,
    why,
    fix,
  })
  if (certificate.validFromDate.getTime() > now) {
    return found('fail', `is valid only from ${certificate.validFromDate.toISOString()}`)
  }
  if (days < 0) return found('fail', `expired on ${until}`)
  // The value of ${secret:NAME} is known to the node alone.
  if (typeof key === 'string' && !key.includes('${secret:')) {
    const problem = await keyProblem(root, certificate, key)
    if (problem)
      return found('fail', problem, 'Mend tls.key in signalbox.yaml: it must be the key of tls.cert.')
  }
  return found(days < SOON_DAYS ? 'warn' : 'ok', `valid until ${until} (${days} days)`)
}

async function keyProblem(
  root: string,
  certificate: X509Certificate,
  key: string,
): Promise<string | undefined> {
  try {
    const matches = certificate.checkPrivateKey(createPrivateKey(await pem(root, key)))
    return matches ? undefined : 'the key is that of another certificate'
  } catch (error) {
    return `the key cannot be used: ${(error as Error).message}`
  }
}

/** PEM text, or that of a file. */
function pem(root: string, value: string): Promise<string> {
  return value.includes('-----BEGIN') ? Promise.resolve(value) : readFile(resolve(root, value), 'utf8')
}
