import { transportConformance } from '../../test/conformance/transport.ts'
import { openChannelEndpoint, openConnectionEndpoint } from './harness.ts'
import { memory } from './index.ts'

transportConformance(memory, {
  channel: { open: openChannelEndpoint },
  connection: { open: openConnectionEndpoint },
})
