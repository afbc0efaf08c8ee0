/**
 * The conformance suite of transports. A transport's `conformance.test.ts` calls {@link transportConformance}
 * with a harness that reaches the transport from outside, with the real server where there is one; the
 * transport's `capabilities` choose the scenarios. What a transport cannot have is skipped by name, with the reason.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Transport } from '../../core/transport.ts'
import { CHANNEL_CONTENT } from './channel-content.ts'
import { CHANNEL_DELIVERY } from './channel-delivery.ts'
import { CHANNEL_LIFE } from './channel-life.ts'
import { CONNECTION_CONTENT, CONNECTION_LIFE, CONNECTION_TIME } from './connection-scenarios.ts'
import type { TransportHarness } from './harness.ts'
import { optionScenarios } from './options.ts'
import { ChannelBench, ConnectionBench, registerScenarios } from './scenario.ts'

export { characteristicsTable } from './characteristics.ts'
export type {
  ChannelEndpoint,
  ConnectionEndpoint,
  TestAnswer,
  TestMessage,
  TestPeer,
  TransportHarness,
} from './harness.ts'

const CHANNEL = [...CHANNEL_LIFE, ...CHANNEL_CONTENT, ...CHANNEL_DELIVERY]
const CONNECTION = [...CONNECTION_LIFE, ...CONNECTION_CONTENT, ...CONNECTION_TIME]

/**
 * Registers the scenarios of both sides with node:test.
 *
 * ```ts
 * transportConformance(memory, { channel: { open: openChannelEndpoint }, connection: { open: openPeer } })
 * ```
 */
// biome-ignore lint/suspicious/noExplicitAny: a transport of any options; the schemas are checked at run time
export function transportConformance(transport: Transport<any, any, any>, harness: TransportHarness): void {
  const { capabilities, channel, connection } = transport
  const waived = harness.waived ?? {}
  describe(`transport ${transport.name}`, () => {
    test('the harness covers each side that the transport has, and waives only what exists', () => {
      assert.equal(harness.channel !== undefined, channel !== undefined, 'channel side')
      assert.equal(harness.connection !== undefined, connection !== undefined, 'connection side')
      const names = [...CHANNEL, ...CONNECTION].map(scenario => scenario.name)
      for (const name of Object.keys(waived))
        assert.ok(names.includes(name), `no scenario is named "${name}"`)
    })
    if (channel && harness.channel) {
      const { open } = harness.channel
      optionScenarios('channel', channel.options, optionsOf(open))
      registerScenarios(CHANNEL, capabilities, waived, async () => new ChannelBench(transport, await open()))
    }
    if (connection && harness.connection) {
      const { open } = harness.connection
      optionScenarios('connection', connection.options, optionsOf(open))
      registerScenarios(
        CONNECTION,
        capabilities,
        waived,
        async () => new ConnectionBench(transport, await open()),
      )
    }
  })
}

function optionsOf(open: () => Promise<{ options: Record<string, unknown>; close(): Promise<void> }>) {
  return async () => {
    const endpoint = await open()
    await endpoint.close()
    return endpoint.options
  }
}
