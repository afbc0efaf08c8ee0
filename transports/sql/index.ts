/** The SQL transport. */
import { defineTransport } from '../../core/transport.ts'
import { SqlChannel } from './channel.ts'
import { SqlChannelOptions } from './channel-options.ts'
import { SqlConnection } from './connection.ts'
import { SqlConnectionOptions } from './options.ts'

export const sql = defineTransport({
  name: 'sql',
  description: 'Relational databases: PostgreSQL, MySQL, MariaDB, SQL Server, Oracle and SQLite',
  capabilities: {
    ordered: true,
    persistent: true,
    requestReply: false,
    acknowledges: true,
    headers: true,
    transactions: true,
    streams: true,
  },
  channel: {
    options: SqlChannelOptions,
    placement: 'singleton',
    placementOf: ({ runOn }) => runOn,
    create: (options, context) => new SqlChannel(options, context),
  },
  connection: {
    options: SqlConnectionOptions,
    create: (options, context) => new SqlConnection(options, context),
    operations: {
      send: 0,
      query: 2,
      one: 2,
      value: 2,
      execute: 2,
      named: 2,
      stream: 2,
      insert: 2,
      call: 2,
      transaction: 1,
    },
    kind: 'client',
    followsCall: true,
  },
})
