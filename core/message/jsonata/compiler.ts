/** All parts of the compiler, for {@link compileJsonata} to load at once. */
export { MAX_ITEMS, within } from './budget.ts'
export { emitProgram, Uncovered } from './emit.ts'
export { createLibrary } from './functions.ts'
export { RUNTIME } from './runtime.ts'
export { wrap } from './sequence.ts'
