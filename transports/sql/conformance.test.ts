import { after, before, describe } from 'node:test'
import { transportConformance } from '../../test/conformance/transport.ts'
import { postgresTest } from '../../test/servers/postgresql.ts'
import { openChannelEndpoint, openConnectionEndpoint, postgresSite, type Site } from './harness.ts'
import { sql } from './index.ts'

describe('PostgreSQL', postgresTest(), () => {
  let site: Site
  before(async () => {
    site = await postgresSite()
  })
  after(() => site.close())
  transportConformance(sql, {
    channel: { open: () => openChannelEndpoint(site) },
    connection: { open: () => openConnectionEndpoint(site) },
  })
})
