import { transportConformance } from '../../test/conformance/transport.ts'
import { openConnectionEndpoint } from './connection-harness.ts'
import { http } from './index.ts'

transportConformance(http, { connection: { open: openConnectionEndpoint } })
