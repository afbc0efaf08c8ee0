/** Test certificates, valid until 2050 or later. Nothing outside tests may trust them: their keys are public. */
import { readFileSync } from 'node:fs'

/** A certificate and its key, both PEM. */
export interface TestCertificate {
  cert: string
  key: string
}

const pem = (file: string) => readFileSync(new URL(`./${file}.pem`, import.meta.url), 'utf8')
const pair = (name: string): TestCertificate => ({ cert: pem(name), key: pem(`${name}.key`) })

/** The authority that signed {@link serverCertificate}, {@link wrongHostCertificate} and {@link clientCertificate}. */
export const testCa: string = pem('ca')

/** An authority that signed {@link untrustedCertificate} and {@link otherClientCertificate}. */
export const otherCa: string = pem('other-ca')

/** For localhost, 127.0.0.1 and ::1. */
export const serverCertificate: TestCertificate = pair('server')

/** Signed by the test authority, for server.invalid only: its host name never verifies. */
export const wrongHostCertificate: TestCertificate = pair('wrong-host')

/** For localhost, but signed by the other authority: a client of the test authority refuses it. */
export const untrustedCertificate: TestCertificate = pair('untrusted')

/** A client certificate (mutual TLS), CN "test client". */
export const clientCertificate: TestCertificate = pair('client')

/** A client certificate that a server of the test authority refuses. */
export const otherClientCertificate: TestCertificate = pair('other-client')
