import { transportConformance } from '../../test/conformance/transport.ts'
import { openChannelEndpoint, openConnectionEndpoint } from './harness.ts'
import { websocket } from './index.ts'

transportConformance(websocket, {
  channel: { open: openChannelEndpoint },
  connection: { open: openConnectionEndpoint },
})
