import { Service, SignalboxError } from 'signalbox'

/** Fails the way a service means to. */
export default class Refused extends Service {
  handle() {
    throw new SignalboxError('SIGNALBOX_REQUEST_REFUSED', 'the order is not accepted')
  }
}
