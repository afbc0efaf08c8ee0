/** All transports. A new one is a folder and a line here; nothing else in the tree knows its name. */
import type { Transport } from '../core/transport.ts'
import { amqp } from './amqp/index.ts'
import { http } from './http/index.ts'
import { memory } from './memory/index.ts'
import { redis } from './redis/index.ts'
import { sql } from './sql/index.ts'
import { websocket } from './websocket/index.ts'

export const transports: readonly Transport[] = [http, websocket, amqp, redis, sql, memory]
