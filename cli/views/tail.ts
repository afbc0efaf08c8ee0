/** How `signalbox tail` shows one step of a message. */
import type { TailEvent } from '../../actors/admin/operator.ts'
import { KEEPER_SLOT } from '../../core/worker/keeper-slot.ts'
import { duration, oneLine, paint, time } from '../output.ts'

const CLOCK_START = 'yyyy-mm-dd '.length

/** `14:05:09.120  n1/0  handled  service/greet  ok  3 ms  120 B  cid`; of a channel or a consumer it says where the message goes. */
export function tailLine(event: TailEvent): string {
  const { at, node, worker, address, outcome, durationMs, bytes, cid, kind, from, to } = event
  const clock = `${time(at).slice(CLOCK_START)}.${String(new Date(at).getMilliseconds()).padStart(3, '0')}`
  const parts = [
    paint('dim', clock),
    `${oneLine(String(node))}/${Number(worker) === KEEPER_SLOT ? 'keeper' : Number(worker)}`,
    oneLine(String(event.event)).padEnd(8),
    paint('bold', oneLine(kind === 'channel' || kind === 'consumer' ? `${from} > ${to}` : String(address))),
  ]
  if (outcome !== undefined) parts.push(paint(outcome === 'ok' ? 'green' : 'red', oneLine(String(outcome))))
  if (typeof durationMs === 'number') parts.push(duration(durationMs))
  if (typeof bytes === 'number' && bytes > 0) parts.push(`${bytes} B`)
  if (cid !== undefined) parts.push(paint('dim', oneLine(String(cid))))
  return parts.join('  ')
}
