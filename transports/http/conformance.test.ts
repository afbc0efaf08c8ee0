import { transportConformance } from '../../test/conformance/transport.ts'
import { openChannelEndpoint } from './channel-harness.ts'
import { openConnectionEndpoint } from './connection-harness.ts'
import { http } from './index.ts'

transportConformance(http, {
  channel: { open: openChannelEndpoint },
  connection: { open: openConnectionEndpoint },
  waived: {
    'channel: drain finishes what is in flight and takes nothing new':
      'a request that is on its way on an open connection is answered, with Connection: close, so that none is lost',
  },
})
