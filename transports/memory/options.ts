import { type Static, Type } from '../../core/schema.ts'

const queue = Type.String({
  minLength: 1,
  maxLength: 255,
  description: 'Name of the queue where channels and connections of one thread meet.',
  examples: ['orders'],
})

/** Options of a memory channel. */
export const channelOptions = Type.Object(
  {
    queue,
    maxInFlight: Type.Integer({
      minimum: 1,
      maximum: 65_536,
      default: 256,
      description: 'How many messages may be under way in the bus at once.',
    }),
    maxAttempts: Type.Integer({
      minimum: 1,
      default: 10,
      description: 'How often a message is delivered before its last failure becomes final.',
    }),
    redeliveryDelayMs: Type.Integer({
      minimum: 0,
      maximum: 86_400_000,
      default: 100,
      description:
        'Milliseconds before a failed message is delivered again, when the failure names no time itself.',
    }),
  },
  { additionalProperties: false },
)

/** Options of a memory connection. */
export const connectionOptions = Type.Object(
  {
    queue,
    reply: Type.Boolean({
      default: true,
      description:
        'Whether send waits for the answer; if not, it resolves when the queue has taken the message.',
    }),
    maxQueued: Type.Integer({
      minimum: 1,
      default: 1024,
      description: 'How many messages may wait in the queue; send waits while there are more.',
    }),
    timeoutMs: Type.Integer({
      minimum: 1,
      maximum: 86_400_000,
      default: 30_000,
      description: 'Longest time of a send in milliseconds, when the message sets none.',
    }),
  },
  { additionalProperties: false },
)

export type ChannelOptions = Static<typeof channelOptions>
export type ConnectionOptions = Static<typeof connectionOptions>
