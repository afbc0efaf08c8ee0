/** The worker's end of the control port. */
import type { MessagePort } from 'node:worker_threads'
import { cancellation } from '../actor/ask.ts'
import { fromWire, SignalboxError } from '../errors.ts'
import type { FromWorker, ToWorker } from './messages.ts'

export class ControlPort {
  readonly #port: MessagePort
  readonly #cpu = new Map<number, PromiseWithResolvers<unknown>>()
  #ids = 0

  constructor(port: MessagePort) {
    this.#port = port
  }

  post(message: FromWorker): void {
    this.#port.postMessage(message)
  }

  /** Runs a file's default export on the CPU pool of the node. */
  cpu(file: string, payload: unknown, timeoutMs: number, signal: AbortSignal): Promise<unknown> {
    if (signal.aborted) return Promise.reject(cancellation(signal))
    const id = this.#ids++
    try {
      this.post({ type: 'cpu', id, file, payload, timeoutMs })
    } catch (cause) {
      const message = `the payload of a CPU task cannot travel to another thread: ${(cause as Error).message}`
      return Promise.reject(new SignalboxError('SIGNALBOX_CODEC_UNENCODABLE', message, { cause }))
    }
    const task = Promise.withResolvers<unknown>()
    this.#cpu.set(id, task)
    const abort = () => {
      this.#cpu.delete(id)
      this.post({ type: 'cpuCancel', id })
      task.reject(cancellation(signal))
    }
    signal.addEventListener('abort', abort, { once: true })
    return task.promise.finally(() => signal.removeEventListener('abort', abort))
  }

  cpuResult({ id, value, error }: Extract<ToWorker, { type: 'cpuResult' }>): void {
    const task = this.#cpu.get(id)
    this.#cpu.delete(id)
    if (error) task?.reject(fromWire(error))
    else task?.resolve(value)
  }
}
