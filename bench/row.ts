/** One line of `npm run bench`. */
export interface BenchRow {
  name: string
  value: number
  unit: string
  /** What the machine can do without us, from the same run. */
  limit?: number
  /** What others do, from the same run, by name. */
  peers?: Record<string, number>
  goal?: string
}
