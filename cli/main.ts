#!/usr/bin/env node
/** The command line of Signalbox. */
import './node-version.mjs'
import { useCompileCache } from './compile-cache.ts'

// What follows is loaded from here on, so that it comes from the cache.
useCompileCache()

const [{ createProgram }, { report }] = await Promise.all([import('./program.ts'), import('./failure.ts')])

// `signalbox errors | head` has had enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

try {
  await createProgram().parseAsync()
} catch (error) {
  process.exitCode = report(error)
}
