/** One figure of a benchmark, beside its limit and its peers from the same run. */
export interface BenchRow {
  name: string
  value: number
  unit: string
  limit?: number
  peers?: Record<string, number>
  goal?: string
}
