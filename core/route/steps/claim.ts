/** Claim check: a large body waits in the store while a ticket goes on in its place. */
import { randomBytes } from 'node:crypto'
import { SignalboxError } from '../../errors.ts'
import { type Compiler, shown } from '../compiling.ts'
import { CLAIM } from '../exchange.ts'
import type { Expiring } from '../housekeeping.ts'
import { BODIES, CLAIMS } from '../state.ts'

/** Who has the ticket has the body, so that nobody guesses it. The name of the route finds it when its time is over. */
const TICKET = /^[A-Za-z0-9_.-]{1,128}\/[A-Za-z0-9_-]{24}$/

export const claim: Compiler<'claim'> = c => {
  const forMs = c.options.forMs!
  return async x => {
    const ticket = `${c.route}/${randomBytes(18).toString('base64url')}`
    const value: Expiring = {
      expiresAt: c.clock.now() + forMs,
      with: [{ collection: BODIES, key: ticket }],
    }
    await c.state.transact([
      { type: 'put', collection: BODIES, key: ticket, value: x.payload ?? null, ifRevision: 0 },
      { type: 'put', collection: CLAIMS, key: ticket, value, ifRevision: 0 },
    ])
    x.payload = ticket
    x.setHeader(CLAIM, ticket)
  }
}

export const restore: Compiler<'restore'> = async c => {
  const { ticket: expression, keep } = c.options
  const given = expression === undefined ? undefined : await c.evaluate(expression, 'ticket')
  return async x => {
    const ticket = given ? await given(x) : x.headers[CLAIM]
    if (typeof ticket !== 'string' || !TICKET.test(ticket)) {
      throw new SignalboxError('SIGNALBOX_CLAIM_UNKNOWN', `${shown(ticket)} is no ticket of a claim check`)
    }
    const [record, body] = await Promise.all([
      c.state.get<Expiring>(CLAIMS, ticket),
      c.state.get(BODIES, ticket),
    ])
    if (!record || !body || record.value.expiresAt <= c.clock.now()) {
      throw new SignalboxError('SIGNALBOX_CLAIM_UNKNOWN', 'there is no body for the ticket any more')
    }
    x.payload = body.value
    x.setHeader(CLAIM, null)
    if (keep) return
    await c.state.transact([
      { type: 'delete', collection: CLAIMS, key: ticket },
      { type: 'delete', collection: BODIES, key: ticket },
    ])
  }
}
