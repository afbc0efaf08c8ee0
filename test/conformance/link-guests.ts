/** Link scenarios: `a` is a program outside the bus. */
import assert from 'node:assert/strict'
import type { Envelope } from '../../core/actor/envelope.ts'
import type { LinkScenario, PairOptions } from './link.ts'
import { echo, spec } from './link-actors.ts'
import { until } from './wait.ts'

const origin = { identity: { name: 'app', definition: 'curve' } }
const options: PairOptions = {
  guest: { accepts: address => /^(?:service|topic|queue)\//.test(address), origin },
}

export const guests: LinkScenario[] = [
  {
    name: 'a guest reaches services, topics and queues, and nothing else',
    options,
    async run({ a, b }) {
      const reached: string[] = []
      for (const address of ['service/s', 'topic/t', 'queue/q', 'system/keyed', 'channel/c', 'node/n']) {
        await b.spawn(
          address,
          spec(() => void reached.push(address)),
        )
      }
      for (const address of ['service/s', 'topic/t', 'queue/q']) await a.system.ask(address, 1)
      for (const address of ['system/keyed', 'channel/c', 'node/n']) {
        await assert.rejects(a.system.ask(address, 1), { code: 'SIGNALBOX_ADDRESS_UNKNOWN' })
        void a.system.tell(address, 1)
        const notices: (string | undefined)[] = []
        a.system.monitor(address, ({ reason }) => notices.push(reason?.code))
        await until(() => notices.length === 1, 'the monitor is refused')
        assert.deepEqual(notices, ['SIGNALBOX_ADDRESS_UNKNOWN'])
      }
      assert.deepEqual(reached, ['service/s', 'topic/t', 'queue/q'])
    },
  },
  {
    name: 'a guest is who the node says it is',
    options,
    async run({ a, b }) {
      await b.spawn(
        'service/who',
        spec((_: unknown, { context }: Envelope) => context),
      )
      const forged = { cid: 'c', headers: { h: '1' }, origin: { identity: { name: 'admin' } } }
      const context = (await a.system.ask('service/who', 1, forged)) as Record<string, unknown>
      assert.deepEqual(context, { cid: 'c', headers: { h: '1' }, trace: undefined, origin })
      assert.deepEqual(await a.system.ask('service/who', 1), { origin })
    },
  },
  ...[{ cid: 7 }, { headers: 'no' }, { headers: { h: 1 } }, { headers: new Map() }, { trace: {} }].map(
    (context): LinkScenario => {
      return {
        name: `a guest with a context of the wrong types is shut out: ${Object.entries(context).flat().join(' ')}`,
        options,
        async run({ a, b }) {
          await b.spawn('service/echo', echo)
          await assert.rejects(a.system.ask('service/echo', 1, context as never), {
            code: 'SIGNALBOX_LINK_CLOSED',
          })
          assert.match(String(b.inspect().closed), /malformed/)
        },
      }
    },
  ),
]
