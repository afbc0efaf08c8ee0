import { after, before, describe } from 'node:test'
import { transportConformance } from '../../test/conformance/transport.ts'

import { openChannelEndpoint, openConnectionEndpoint, type Site, sqliteSite } from './harness.ts'
import { sql } from './index.ts'

describe('SQLite', {}, () => {
  let site: Site
  before(async () => {
    site = await sqliteSite()
  })
  after(() => site.close())
  transportConformance(sql, {
    channel: { open: () => openChannelEndpoint(site) },
    connection: { open: () => openConnectionEndpoint(site) },
  })
})
