/**
 * `node:http` as it is required, not imported: an import reads all exports of the module, and reading `WebSocket`
 * loads the whole of Node.js's fetch, a tenth of the time in which a worker starts.
 */
export const http = process.getBuiltinModule('node:http')
