import { Service } from 'signalbox'

/** More than the buffers of a socket take; one copy for all. */
const BYTES = Buffer.alloc(16 * 1024 * 1024, 'x')

/** Answers with much, for clients that read little. */
export default class Large extends Service {
  handle() {
    return BYTES
  }
}
