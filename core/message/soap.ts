/** The format `soap`. */
import type { FormatCodec } from './format.ts'
import { buildSoap } from './soap-build.ts'
import { type SoapMessage, SoapOptions } from './soap-message.ts'
import { parseSoap } from './soap-parse.ts'

/**
 * Values are {@link SoapMessage}. SOAP 1.2 has a media type of its own; SOAP 1.1 is sent as `text/xml`, so choose the
 * format by name there. See `soapHeaders` for what goes with a message.
 */
export const soap: FormatCodec<Partial<SoapOptions>> = {
  mediaTypes: ['application/soap+xml'],
  options: SoapOptions,
  parse: (bytes, limits, options) => parseSoap(bytes, limits, options),
  build: value => buildSoap(value as SoapMessage),
}
