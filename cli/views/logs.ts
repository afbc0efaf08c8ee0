/** How queues, topics and the messages in them are shown. */
import type { KeptMessageView, MessageHeadView } from '../../actors/messages/log-admin.ts'
import type { LogView, SubscriptionView } from '../../actors/messages/log-view.ts'
import { type Column, duration, oneLine, paint, plain, table, time } from '../output.ts'

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** `980 B`, `1.5 MiB`. */
export function size(bytes: number): string {
  let [value, unit] = [bytes, 0]
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${Math.round(value * 10) / 10} ${UNITS[unit]}`
}

/** Queues, or topics, one line each. */
export function logsText(logs: readonly LogView[], title: string, now: number = Date.now()): string {
  const measured = logs.some(({ publishedPerSecond }) => publishedPerSecond !== undefined)
  const columns: Column<LogView>[] = [
    { title, value: ({ name }) => name },
    { title: 'READY', value: ({ ready }) => ready },
    { title: 'LEASED', value: ({ leased }) => leased },
    { title: 'DELAYED', value: ({ delayed }) => delayed },
    { title: 'DEAD', value: ({ dead }) => dead, style: redWhenDead },
    { title: 'OLDEST', value: ({ oldestAt }) => ageOf(oldestAt, now) },
    { title: 'SIZE', value: ({ bytes }) => (bytes === undefined ? undefined : size(bytes)) },
    { title: 'PUBLISHED', value: ({ published }) => published },
    ...(measured
      ? [
          { title: 'IN/s', value: (log: LogView) => log.publishedPerSecond },
          { title: 'OUT/s', value: (log: LogView) => log.settledPerSecond },
        ]
      : []),
    {
      title: title === 'QUEUE' ? 'GOES TO / ERROR' : 'SUBSCRIPTIONS / ERROR',
      value: log => errorOf(log) ?? (title === 'QUEUE' ? goesTo(log.subscriptions[0]) : namesOf(log)),
      style: ({ error }) => (error ? 'red' : undefined),
    },
  ]
  return table(columns, logs)
}

/** One queue or topic with its subscriptions. */
export function logText(log: LogView, now: number = Date.now()): string {
  const head = paint('bold', `${log.kind}/${oneLine(log.name)}`)
  const error = errorOf(log)
  if (error) return `${head}  ${paint('red', `did not open: ${error}`)}`
  const facts = [
    `${log.messages} of ${log.maxMessages} messages`,
    `${size(log.bytes!)} of ${size(log.maxBytes!)}`,
    ...(log.kept ? [`${log.kept} kept for replay`] : []),
    ...(log.oldestAt === undefined ? [] : [`the oldest for ${ageOf(log.oldestAt, now)}`]),
  ]
  const since = ['published', 'duplicates', 'expired', 'dropped'] as const
  const counted = since.flatMap(what => (log[what] || what === 'published' ? `${log[what]} ${what}` : []))
  const parts = [`${head}  ${facts.join(', ')}`, `since the node started: ${counted.join(', ')}`]
  if (log.subscriptions.length > 0) parts.push('', table(subscriptionColumns(now), log.subscriptions))
  else parts.push('', 'it has no subscription: what is published goes nowhere')
  const dead = log.subscriptions.find(({ dead: count }) => count > 0)
  if (dead) {
    const which = log.kind === 'topic' ? ` --subscription ${oneLine(dead.name)}` : ''
    parts.push(
      '',
      `dead letters: see them with \`signalbox browse ${log.kind}/${oneLine(log.name)}${which} --state dead\``,
    )
  }
  return parts.join('\n')
}

function subscriptionColumns(now: number): Column<SubscriptionView>[] {
  return [
    { title: 'SUBSCRIPTION', value: ({ name }) => name },
    { title: 'READY', value: ({ ready }) => ready },
    { title: 'LEASED', value: ({ leased }) => leased },
    { title: 'DELAYED', value: ({ delayed }) => delayed },
    { title: 'DEAD', value: ({ dead }) => dead, style: redWhenDead },
    { title: 'OLDEST', value: ({ oldestAt }) => ageOf(oldestAt, now) },
    { title: 'SETTLED', value: ({ settled }) => settled },
    { title: 'FAILURES', value: ({ failures }) => failures },
    { title: 'GOES TO', value: goesTo },
  ]
}

/** Messages, one line each; with what they say, where that is known. */
export function messagesText(messages: readonly (MessageHeadView | KeptMessageView)[]): string {
  const some = (key: 'id' | 'key' | 'cid' | 'failure') => messages.some(message => message[key] !== undefined)
  const said = messages.some(message => 'headers' in message)
  const column = (title: string, key: 'id' | 'key' | 'cid') =>
    some(key) ? [{ title, value: (message: MessageHeadView | KeptMessageView) => message[key] }] : []
  const failure = {
    title: 'FAILURE',
    value: ({ failure: why }: Pick<MessageHeadView, 'failure'>) => why && `${why.code}: ${why.message}`,
  }
  const columns: Column<MessageHeadView | KeptMessageView>[] = [
    { title: 'SEQ', value: ({ seq }) => seq },
    { title: 'STATE', value: ({ state }) => state, style: ({ state }) => styleOf(state) },
    { title: 'PUBLISHED', value: ({ publishedAt }) => time(publishedAt) },
    { title: 'ATTEMPTS', value: ({ attempts }) => attempts },
    ...column('ID', 'id'),
    ...column('KEY', 'key'),
    ...column('CID', 'cid'),
    { title: 'SIZE', value: ({ bytes }) => size(bytes) },
    ...(some('failure') ? [failure] : []),
    ...(said
      ? [{ title: 'PAYLOAD', value: (message: object) => payloadLine(message as KeptMessageView) }]
      : []),
  ]
  return table(columns, messages)
}

/** One message: what is known of it, its headers, and what it says. */
export function messageText(message: KeptMessageView): string {
  const { seq, state, attempts, publishedAt, dueAt, expiresAt, id, key, priority, cid, from, failure } =
    message
  const facts: [string, string | number | undefined][] = [
    ['message', seq],
    ['state', `${state}, ${attempts} attempt${attempts === 1 ? '' : 's'}`],
    ['published', time(publishedAt)],
    ['due', dueAt && time(dueAt)],
    ['expires', expiresAt && time(expiresAt)],
    ['id', id],
    ['key', key],
    ['priority', priority],
    ['cid', cid],
    ['from', from],
    ['identity', message.identity && `${message.identity.definition}/${message.identity.name}`],
    ['size', size(message.bytes)],
    ['failure', failure && `${failure.code}: ${failure.message} (${time(failure.at)})`],
    ...Object.entries(message.headers).map(([name, value]): [string, string] => [`header ${name}`, value]),
  ]
  const shown = facts.filter(([, value]) => value !== undefined)
  const width = Math.max(...shown.map(([name]) => name.length))
  const lines = shown.map(
    ([name, value]) => `${paint('bold', oneLine(name).padEnd(width))}  ${oneLine(String(value))}`,
  )
  return [...lines, '', payloadText(message)].join('\n')
}

/** What a message says, as JSON; of bytes their text, where they are one. */
export function payloadText({ payload, payloadBase64 }: KeptMessageView): string {
  if (payloadBase64 === undefined) return plain(JSON.stringify(payload ?? null, null, 2))
  const bytes = Buffer.from(payloadBase64, 'base64')
  const text = bytes.toString('utf8')
  return Buffer.from(text).equals(bytes) ? plain(text) : `(${bytes.length} bytes) ${payloadBase64}`
}

function payloadLine(message: KeptMessageView): string {
  if (message.payloadOmitted) return '(large; see it by its number)'
  return message.payloadBase64 === undefined ? JSON.stringify(message.payload ?? null) : payloadText(message)
}

function goesTo(subscription: SubscriptionView | undefined): string {
  if (subscription?.target !== undefined) return subscription.target
  return subscription?.owner === undefined ? 'clients fetch' : `fetched by ${subscription.owner}`
}

function namesOf({ subscriptions }: LogView): string {
  return subscriptions.map(({ name }) => name).join(', ') || 'none'
}

function errorOf({ error }: LogView): string | undefined {
  return error && oneLine(`${error.code}: ${error.message}`)
}

function ageOf(at: number | undefined, now: number): string | undefined {
  return at === undefined ? undefined : duration(Math.max(0, now - at))
}

function redWhenDead({ dead }: { dead?: number | undefined }): 'red' | undefined {
  return dead ? 'red' : undefined
}

function styleOf(state: string): 'red' | 'yellow' | undefined {
  if (state === 'dead') return 'red'
  return state === 'delayed' ? 'yellow' : undefined
}
