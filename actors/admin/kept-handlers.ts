/** What the routes of queues, topics, messages and schedules do. */
import { SignalboxError } from '../../core/errors.ts'
import type { DeliveryState, StartAt } from '../../core/store/messages/message.ts'
import type { BrowseRequest, GivenPayload, LogRef } from '../messages/log-admin.ts'
import type { LogKind } from '../messages/protocol.ts'
import type { AdminCall, Handler } from './handlers.ts'
import type { Publication } from './kept-operator.ts'
import type { KeptHandlerName } from './kept-schemas.ts'

const NOTHING = { status: 204 }

/** By name, as the table of routes has them. */
export const KEPT_HANDLERS: Readonly<Record<KeptHandlerName, Handler>> = {
  logs: async ({ kept }, { query }) => ({ json: await kept.list(query.kind as LogKind | undefined) }),
  log: async ({ kept }, call) => {
    const { kind, name } = logOf(call)
    return { json: await kept.log(kind, name) }
  },
  keptMessages: async ({ kept }, call) => ({ json: await kept.messages(browseOf(call)) }),
  browse: async ({ kept }, call) => ({ json: await kept.browse(call.actor, browseOf(call)) }),
  keptMessage: async ({ kept }, call) => ({ json: await kept.message(call.actor, logOf(call), seqOf(call)) }),
  async publish({ kept }, call) {
    const publication = onePayload(call.body as Publication)
    return { json: await kept.publish(call.actor, logOf(call), publication) }
  },
  async edit({ kept }, call) {
    const change = onePayload(call.body as GivenPayload & { headers?: Record<string, string> })
    await kept.edit(call.actor, { ...logOf(call), ...change, seq: seqOf(call) })
    return NOTHING
  },
  async resend({ kept }, call) {
    const { seqs, subscription } = call.body as { seqs?: number[]; subscription?: string }
    return { json: { count: await kept.resend(call.actor, { ...logOf(call), subscription }, seqs) } }
  },
  async drop({ kept }, call) {
    const { seqs } = call.body as { seqs: number[] }
    return { json: { count: await kept.drop(call.actor, logOf(call), seqs) } }
  },
  async purge({ kept }, call) {
    const { states, subscription } = call.body as { states?: DeliveryState[]; subscription?: string }
    return { json: { count: await kept.purge(call.actor, { ...logOf(call), subscription }, states) } }
  },
  async seek({ kept }, { actor, params, body }) {
    const { to, subscription } = body as { to: StartAt; subscription?: string }
    await kept.seek(actor, { kind: 'topic', name: params.name!, subscription }, to)
    return NOTHING
  },
  schedules: async ({ kept }) => ({ json: await kept.schedules() }),
  scheduleHistory: async ({ kept }, { params, query }) => ({
    json: await kept.history(params.name!, query.limit as number),
  }),
  runSchedule: async ({ kept }, { actor, params, query }) => ({
    json: await kept.runSchedule(actor, params.name!, query.waitMs as number),
  }),
  async pauseSchedule({ kept }, { actor, params }) {
    await kept.pauseSchedule(actor, params.name!, true)
    return NOTHING
  },
  async resumeSchedule({ kept }, { actor, params }) {
    await kept.pauseSchedule(actor, params.name!, false)
    return NOTHING
  },
}

function logOf({ params, query }: AdminCall): LogRef {
  const { kind, name } = params as { kind: LogKind; name: string }
  const subscription = query.subscription as string | undefined
  return { kind, name, ...(subscription !== undefined && { subscription }) }
}

function seqOf({ params }: AdminCall): number {
  return Number(params.seq)
}

function browseOf(call: AdminCall): BrowseRequest {
  const { subscription: _, state, ...rest } = call.query as { subscription?: string; state?: string }
  const states = state?.split(',') as DeliveryState[] | undefined
  return { ...logOf(call), ...(states && { states }), ...rest }
}

function onePayload<T extends GivenPayload>(given: T): T {
  if (given.payload === undefined || given.payloadBase64 === undefined) return given
  const fix = 'Leave one of the two out.'
  throw new SignalboxError('SIGNALBOX_INPUT_INVALID', 'there is a payload and a payloadBase64', {
    details: { fix },
  })
}
