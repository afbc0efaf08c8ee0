/** Work for the CPU pool. */
export default function task({ spin, numbers }: { spin?: boolean; numbers?: number[] }): number {
  while (spin);
  return (numbers ?? []).reduce((sum, number) => sum + number, 0)
}
