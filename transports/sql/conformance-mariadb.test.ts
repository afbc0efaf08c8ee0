import { after, before, describe } from 'node:test'
import { transportConformance } from '../../test/conformance/transport.ts'
import { mariadbTest } from '../../test/servers/mariadb.ts'
import { mariadbSite, openChannelEndpoint, openConnectionEndpoint, type Site } from './harness.ts'
import { sql } from './index.ts'

describe('MariaDB', mariadbTest(), () => {
  let site: Site
  before(async () => {
    site = await mariadbSite()
  })
  after(() => site.close())
  transportConformance(sql, {
    channel: { open: () => openChannelEndpoint(site) },
    connection: { open: () => openConnectionEndpoint(site) },
  })
})
