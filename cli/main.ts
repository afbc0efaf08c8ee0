#!/usr/bin/env node
/** The command line of Signalbox. */
import './node-version.mjs'
import { report } from './failure.ts'
import { createProgram } from './program.ts'

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
