/** The table in a transport's README that says what it can do, made from its `capabilities`. */
import type { Capabilities, Transport } from '../../core/transport.ts'

const ROWS: readonly { key: Exclude<keyof Capabilities, 'maxBytes'>; label: string }[] = [
  { key: 'ordered', label: 'Ordered: messages of one sender arrive as they were sent' },
  { key: 'persistent', label: 'Persistent: an accepted message survives a restart of the server' },
  { key: 'requestReply', label: 'Request/reply: the sender can get an answer' },
  { key: 'acknowledges', label: 'Acknowledges: the source keeps a message until it was settled' },
  { key: 'headers', label: 'Headers travel beside the payload' },
  { key: 'transactions', label: 'Transactions: several operations commit together' },
  { key: 'streams', label: 'Streams as payload or answer' },
]

/** Markdown of the characteristics of a transport, without a final line end. */
export function characteristicsTable(transport: Transport): string {
  const { capabilities } = transport
  const sides = [transport.channel && 'channel', transport.connection && 'connection'].filter(Boolean)
  const rows = [
    ['Sides', sides.join(', ')],
    ...ROWS.map(({ key, label }) => [label, capabilities[key] ? 'yes' : 'no']),
    [
      'Largest payload',
      capabilities.maxBytes === undefined ? 'no limit of the protocol' : `${capabilities.maxBytes} bytes`,
    ],
  ]
  if (transport.channel) rows.push(['Placement of the channel', transport.channel.placement])
  return [
    '| Characteristic | |',
    '| --- | --- |',
    ...rows.map(([what, value]) => `| ${what} | ${value} |`),
  ].join('\n')
}
