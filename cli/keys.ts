/** `signalbox keys`: a pair of CURVE keys. */
import { makeCurveKeys } from '../core/router/net.ts'

export function printKeys(options: { json?: boolean }): void {
  const keys = makeCurveKeys()
  if (options.json) console.log(JSON.stringify(keys))
  else console.log(`public key: ${keys.publicKey}\nsecret key: ${keys.secretKey}  (keep it secret)`)
}
