/** Snapshots as OpenTelemetry's SDK exports them. */
import { type HrTime, ValueType } from '@opentelemetry/api'
import type { Resource } from '@opentelemetry/resources'
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from '@opentelemetry/sdk-metrics'
import { type Family, familiesOf, type Sample } from './families.ts'
import type { MetricsSnapshot } from './snapshot.ts'

/** Gives the reader of the SDK what the bus has counted itself. */
export class SnapshotProducer implements MetricProducer {
  readonly #resource: Resource
  readonly #collect: () => Promise<MetricsSnapshot[]>

  constructor(resource: Resource, collect: () => Promise<MetricsSnapshot[]>) {
    this.#resource = resource
    this.#collect = collect
  }

  async collect(): Promise<CollectionResult> {
    try {
      const metrics = familiesOf(await this.#collect()).map(metricOf)
      return { resourceMetrics: this.#of(metrics), errors: [] }
    } catch (error) {
      return { resourceMetrics: this.#of([]), errors: [error] }
    }
  }

  #of(metrics: MetricData[]): CollectionResult['resourceMetrics'] {
    return { resource: this.#resource, scopeMetrics: [{ scope: { name: 'signalbox' }, metrics }] }
  }
}

function metricOf(family: Family): MetricData {
  const about = {
    descriptor: {
      name: family.name,
      description: family.help,
      unit: family.unit,
      valueType: ValueType.DOUBLE,
    },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  }
  if (family.type === 'histogram') {
    const dataPoints = family.samples.map(sample => ({
      ...point(sample),
      value: {
        buckets: { boundaries: [...family.bounds], counts: sample.value.counts },
        sum: sample.value.sum,
        count: sample.value.count,
        max: sample.value.max,
      },
    }))
    return { ...about, dataPointType: DataPointType.HISTOGRAM, dataPoints }
  }
  const dataPoints = family.samples.map(sample => ({ ...point(sample), value: sample.value }))
  if (family.type === 'gauge') return { ...about, dataPointType: DataPointType.GAUGE, dataPoints }
  return { ...about, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }
}

function point({ labels, startedAt, at }: Sample<unknown>) {
  return { startTime: hrTime(startedAt), endTime: hrTime(at), attributes: labels }
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.floor((ms - seconds * 1000) * 1e6)]
}
