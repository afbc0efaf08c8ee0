/** The transports, in the order in which they are shown. A new one is a folder and a line here. */
import type { Transport } from '../core/transport.ts'
import http from './http/index.ts'
import { memory } from './memory/index.ts'

export const transports: readonly Transport[] = [memory, http] as unknown as readonly Transport[]
