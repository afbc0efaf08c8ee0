/** The consumers of a worker: they hand the messages of queues and subscriptions to services. */
import type { WorkerContext } from '../../core/worker/worker-context.ts'
import { type ConsumerConfig, type ConsumerPlace, consumerActor } from './consumer.ts'

export class ConsumerRegistry {
  readonly #worker: WorkerContext
  readonly #connection: ConsumerPlace['connection']
  readonly #configs = new Map<string, ConsumerConfig>()

  constructor(worker: WorkerContext, connection: ConsumerPlace['connection']) {
    this.#worker = worker
    this.#connection = connection
  }

  /** Starts a consumer, or puts a new one in the place of the one there; that one settles what it has first. */
  put(config: ConsumerConfig): void {
    const address = addressOf(config)
    this.#configs.set(address, config)
    const { place, node, slot, system } = this.#worker
    const spec = consumerActor(config, {
      place,
      worker: `${node}/${slot}`,
      clock: system.clock,
      connection: this.#connection,
    })
    this.#worker.declareOrReplace(address, { placement: 'everyWorker', spec })
  }

  async remove(config: Pick<ConsumerConfig, 'kind' | 'name'>): Promise<void> {
    const address = addressOf(config)
    if (this.#configs.delete(address)) await this.#worker.retire(address)
  }

  /** Takes nothing more, and resolves when what was taken is settled. */
  async drain(): Promise<void> {
    const configs = [...this.#configs.values()]
    await Promise.all(configs.map(config => this.remove(config)))
  }
}

function addressOf({ kind, name }: Pick<ConsumerConfig, 'kind' | 'name'>): string {
  return `consumer/${kind === 'queue' ? 'queue' : 'subscription'}/${name}`
}
