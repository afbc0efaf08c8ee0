import { linkConformance } from './link.ts'
import { memoryPair, nodePair, portPair } from './link-pairs.ts'

linkConformance('memory, microtask', { makePair: options => memoryPair(options, queueMicrotask) })
linkConformance('memory, immediate', { makePair: options => memoryPair(options, setImmediate) })
linkConformance('thread', { makePair: portPair })
linkConformance('node', { makePair: nodePair, fixed: true })
