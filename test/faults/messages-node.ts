/** A node in a process of its own, to be killed: its queues and topics have to be as they were acknowledged. */
import { useCompileCache } from '../../cli/compile-cache.ts'
import { startProject } from '../../cli/start.ts'

useCompileCache()
const [root, stateFolder] = process.argv.slice(2)
const { stop } = await startProject(root!, { stateFolder: stateFolder! })
process.on('SIGTERM', () => stop().then(() => process.exit(0)))
process.send!('ready')
