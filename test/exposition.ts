/** A strict reader of the Prometheus text format 0.0.4, with the rules that `promtool check metrics` has. */

export interface Exposed {
  name: string
  labels: Record<string, string>
  value: number
}

export interface ExposedFamily {
  type: string
  help: string
  samples: Exposed[]
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*'
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(,|$)/y
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`)
const VALUE = /^(?:[+-]?Inf|NaN|[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/i

/** Reads a text; throws with the line that breaks a rule. */
export function readExposition(text: string): Map<string, ExposedFamily> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, ExposedFamily>()
  const seen = new Set<string>()
  let current = ''
  for (const line of text.slice(0, -1).split('\n')) {
    const about = new RegExp(`^# (HELP|TYPE) (${NAME}) (.*)$`).exec(line)
    if (about) {
      current = begin(families, current, about[1]!, about[2]!, about[3]!)
      continue
    }
    const sample = sampleOf(line)
    const family = families.get(current)
    if (!family || baseName(sample.name, family.type) !== current)
      throw new Error(`outside its family: ${line}`)
    const key = `${sample.name} ${JSON.stringify(Object.entries(sample.labels).sort())}`
    if (seen.has(key)) throw new Error(`twice: ${line}`)
    seen.add(key)
    family.samples.push(sample)
  }
  for (const [name, family] of families) checkFamily(name, family)
  return families
}

function begin(
  families: Map<string, ExposedFamily>,
  current: string,
  what: string,
  name: string,
  rest: string,
) {
  if (what === 'HELP') {
    if (families.has(name)) throw new Error(`two families ${name}`)
    families.set(name, { type: '', help: rest, samples: [] })
    return name
  }
  const family = families.get(name)
  if (name !== current || !family || family.samples.length > 0 || family.type)
    throw new Error(`misplaced TYPE ${name}`)
  if (!/^(counter|gauge|histogram)$/.test(rest)) throw new Error(`type ${rest}`)
  family.type = rest
  return name
}

function sampleOf(line: string): Exposed {
  const match = SAMPLE.exec(line)
  if (!match || !VALUE.test(match[3]!)) throw new Error(`no sample: ${line}`)
  return {
    name: match[1]!,
    labels: labelsOf(match[2] ?? '', line),
    value: Number(match[3]!.replace('Inf', 'Infinity')),
  }
}

function labelsOf(text: string, line: string): Record<string, string> {
  const labels: Record<string, string> = {}
  for (LABEL.lastIndex = 0; LABEL.lastIndex < text.length; ) {
    const at = LABEL.lastIndex
    const match = LABEL.exec(text)
    if (!match) throw new Error(`labels at ${at}: ${line}`)
    if (match[1]! in labels) throw new Error(`label ${match[1]} twice: ${line}`)
    labels[match[1]!] = match[2]!.replace(/\\([\\"n])/g, (_, c: string) => (c === 'n' ? '\n' : c))
  }
  return labels
}

function baseName(name: string, type: string): string {
  return type === 'histogram' ? name.replace(/_(bucket|sum|count)$/, '') : name
}

function checkFamily(name: string, { type, help, samples }: ExposedFamily): void {
  if (!type || !help || samples.length === 0) throw new Error(`${name} lacks type, help or samples`)
  if ((type === 'counter') !== name.endsWith('_total')) throw new Error(`${name} is a ${type}`)
  if (type === 'counter' && samples.some(({ value }) => !(value >= 0))) throw new Error(`${name} is below 0`)
  if (type === 'histogram') checkHistogram(name, samples)
}

function checkHistogram(name: string, samples: Exposed[]): void {
  const series = new Map<string, { buckets: Exposed[]; sum?: number; count?: number }>()
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels
    const key = JSON.stringify(Object.entries(labels).sort())
    const one = series.get(key) ?? { buckets: [] }
    series.set(key, one)
    if (sample.name === `${name}_bucket`) one.buckets.push(sample)
    else if (sample.name === `${name}_sum`) one.sum = sample.value
    else one.count = sample.value
  }
  for (const { buckets, sum, count } of series.values()) {
    const bounds = buckets.map(({ labels }) =>
      labels.le === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels.le),
    )
    const rising = (values: number[], strict: boolean) =>
      values.every((v, i) => i === 0 || v > values[i - 1]! || (!strict && v === values[i - 1]))
    if (!rising(bounds, true) || bounds.at(-1) !== Number.POSITIVE_INFINITY)
      throw new Error(`${name}: bounds ${bounds}`)
    if (
      !rising(
        buckets.map(({ value }) => value),
        false,
      )
    )
      throw new Error(`${name}: buckets are not accumulated`)
    if (sum === undefined || count === undefined || buckets.at(-1)!.value !== count)
      throw new Error(`${name}: sum and count`)
  }
}
