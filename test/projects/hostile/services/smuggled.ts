import { Service } from 'signalbox'

let calls = 0

/** Counts how often a request has come here in this worker. Another service may ask without being counted. */
export default class Smuggled extends Service {
  handle() {
    if (this.request.channel) calls++
    return { calls }
  }
}
