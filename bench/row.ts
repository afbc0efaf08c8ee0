/** One figure of a benchmark, beside what it is compared with in the same run. */
export interface BenchRow {
  name: string
  value: number
  /** What the value counts, e.g. `msg/s`. */
  unit: string
  /** What the machine allows at most, in the same unit. */
  limit?: number
  /** What others reach, in the same unit. */
  peers?: Record<string, number>
  /** What we want to reach, for people. */
  goal?: string
}
