import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, test } from 'node:test'
import tedious from 'tedious'
import { SignalboxError } from '../../../core/errors.ts'
import { parseOptions } from '../../../core/schema.ts'
import { testCa } from '../../../test/certificates/certificates.ts'
import { within } from '../../../test/conformance/wait.ts'
import { sqlError } from '../errors.ts'
import { DIALECTS, SqlConnectionOptions, type SqlConnectionSettings } from '../options.ts'
import { newConnection } from '../testing.ts'
import { driverMissing } from './index.ts'
import { mssqlConfiguration, mssqlParameter } from './mssql.ts'
import { numberFrom, oracleAttributes } from './oracle.ts'

function settings(options: Record<string, unknown>): SqlConnectionSettings {
  return parseOptions(SqlConnectionOptions, options, 'test')
}

describe('drivers', () => {
  for (const dialect of DIALECTS.filter(one => one !== 'sqlite')) {
    test(`${dialect}: a server that is not there, and one that says nothing, are retryable errors in time`, async t => {
      const silent = net.createServer().listen(0, '127.0.0.1')
      await once(silent, 'listening')
      const sockets: net.Socket[] = []
      silent.on('connection', socket => sockets.push(socket.on('error', () => socket.destroy())))
      const { port } = silent.address() as net.AddressInfo
      const account = { database: 'x', username: 'x', password: 'x' }
      const options = { dialect, host: '127.0.0.1', port, connectTimeoutMs: 1_000, ...account }
      const refusal = async () => {
        const error = await within(
          newConnection(t, options)
            .connect()
            .catch(thrown => thrown),
          'connect settles',
        )
        assert.equal(error.code, 'SIGNALBOX_CONNECT_FAILED', error.message)
        assert.equal(error.retryable, true)
      }
      try {
        await refusal()
      } finally {
        for (const socket of sockets) socket.destroy()
        silent.close()
        await once(silent, 'close')
      }
      await refusal()
    })
  }

  test('a library that is not installed is named, with the command', () => {
    const error = driverMissing('oracle', 'oracledb', new Error('x'))
    assert.equal(error.code, 'SIGNALBOX_DRIVER_MISSING')
    assert.match(error.message, /npm install oracledb/)
  })

  test('SQL Server: options and types', () => {
    const tls = { ca: testCa, servername: 'db.test' }
    const account = { username: 'u', password: 'p', database: 'd' }
    const { server, options, authentication } = mssqlConfiguration(
      settings({ dialect: 'mssql', host: 'h', tls, ...account }),
    )
    assert.equal(server, 'h')
    assert.deepEqual(authentication, { type: 'default', options: { userName: 'u', password: 'p' } })
    assert.equal(options?.port, 1433)
    assert.equal(options?.encrypt, true)
    assert.equal(options?.trustServerCertificate, false)
    assert.equal(options?.serverName, 'db.test')
    assert.equal(options?.cryptoCredentialsDetails?.ca, testCa)
    assert.equal(mssqlConfiguration(settings({ dialect: 'mssql' })).options?.encrypt, false)
    const { TYPES } = tedious
    assert.equal(mssqlParameter(tedious, 1).type, TYPES.Int)
    assert.equal(mssqlParameter(tedious, 2 ** 40).type, TYPES.BigInt)
    assert.deepEqual(mssqlParameter(tedious, 9007199254740993n), {
      type: TYPES.BigInt,
      bound: '9007199254740993',
    })
    assert.equal(mssqlParameter(tedious, 1.5).type, TYPES.Float)
    assert.deepEqual(mssqlParameter(tedious, { a: 1 }), { type: TYPES.NVarChar, bound: '{"a":1}' })
    assert.equal(mssqlParameter(tedious, Buffer.from('x')).type, TYPES.VarBinary)
  })

  test('Oracle: options and numbers', () => {
    const account = { username: 'u', password: 'p', database: 'pdb.example' }
    const plain = oracleAttributes(settings({ dialect: 'oracle', host: 'h', ...account }))
    assert.match(plain.connectString!, /^tcp:\/\/h:1521\/pdb\.example\?connect_timeout=10&/)
    assert.equal(plain.user, 'u')
    const secure = oracleAttributes(
      settings({ dialect: 'oracle', host: 'h', tls: { ca: testCa }, ...account }),
    )
    assert.match(secure.connectString!, /^tcps:.*ssl_server_dn_match=on/)
    assert.equal(secure.walletContent, testCa)
    for (const bad of [{ host: 'h/x?wallet_location=/etc' }, { database: 'a)(ADDRESS=x' }])
      assert.throws(
        () => oracleAttributes(settings({ dialect: 'oracle', ...account, ...bad })),
        (error: SignalboxError) => error.code === 'SIGNALBOX_OPTIONS_INVALID',
      )
    assert.equal(numberFrom('12', 0, 10, 'safe'), 12)
    assert.equal(numberFrom('9007199254740993', 0, 19, 'safe'), 9007199254740993n)
    assert.equal(numberFrom('1.10', 2, 10, 'safe'), '1.10')
    assert.equal(numberFrom('5', 0, 0, 'safe'), '5', 'NUMBER without a precision may be anything')
  })

  test('errors of the products have the codes of the bus', () => {
    const cases: [Parameters<typeof sqlError>[0], object, string, boolean][] = [
      ['postgresql', { code: '40001', message: 'x' }, 'SIGNALBOX_SQL_CONFLICT', true],
      ['postgresql', { code: '57P01', message: 'x' }, 'SIGNALBOX_NOT_CONNECTED', true],
      ['mysql', { errno: 1213, message: 'x' }, 'SIGNALBOX_SQL_CONFLICT', true],
      ['mssql', { number: 2627, message: 'x' }, 'SIGNALBOX_SQL_CONSTRAINT', false],
      ['mssql', { code: 'ELOGIN', message: 'x' }, 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', false],
      ['mssql', { number: 1205, message: 'x' }, 'SIGNALBOX_SQL_CONFLICT', true],
      [
        'mssql',
        { code: 'ESOCKET', message: 'x', cause: { code: 'SELF_SIGNED_CERT_IN_CHAIN' } },
        'SIGNALBOX_TLS_UNVERIFIED',
        false,
      ],
      ['oracle', { errorNum: 1, message: 'ORA-00001' }, 'SIGNALBOX_SQL_CONSTRAINT', false],
      ['oracle', { errorNum: 1017, message: 'ORA-01017' }, 'SIGNALBOX_CONNECT_REFUSED_CREDENTIALS', false],
      ['oracle', { errorNum: 60, message: 'ORA-00060' }, 'SIGNALBOX_SQL_CONFLICT', true],
      ['sqlite', { errcode: 2067, message: 'x' }, 'SIGNALBOX_SQL_CONSTRAINT', false],
      ['sqlite', { errcode: 5, message: 'x' }, 'SIGNALBOX_SQL_CONFLICT', true],
    ]
    for (const [dialect, native, code, retryable] of cases) {
      const error = sqlError(dialect, native, 'use')
      assert.ok(error instanceof SignalboxError)
      assert.equal(error.code, code, JSON.stringify(native))
      assert.equal(error.retryable, retryable)
    }
  })
})
