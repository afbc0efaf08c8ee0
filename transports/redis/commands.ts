/** Several commands at once. */
import type { ChainableCommander } from 'ioredis'

/** Takes commands that are sent together: all commands of Redis, typed. */
export type Commands = ChainableCommander
/** The reply to one of them. */
export type Reply = unknown

/** Sends them. Rejects with the first error. */
export async function execute(commands: Commands, build: (commands: Commands) => unknown): Promise<Reply[]> {
  build(commands)
  const replies = (await commands.exec()) ?? []
  return replies.map(([error, reply]) => {
    if (error) throw error
    return reply
  })
}
