/**
 * Every error the bus raises. Users match `code`, never `instanceof`: an error that crossed a thread or a node
 * is rebuilt from its code on the other side.
 */

interface ErrorKind {
  /** The HTTP status a channel answers with (RFC 9110). */
  status: number
  /** Whether the same message may succeed when it is sent again. */
  retryable: boolean
  /** What went wrong, in one sentence. */
  what: string
  /** What to do about it. */
  fix: string
}

/** The table of all codes: `SIGNALBOX_<AREA>_<WHAT>`. A retired code is never used again. */
export const ERRORS = {
  // Addresses and actors
  SIGNALBOX_ADDRESS_INVALID: {
    status: 400,
    retryable: false,
    what: 'An address is not of the form kind/name or kind/name#key.',
    fix: 'Use lower-case kind, a slash, and a name of letters, digits, dots, dashes, underscores and slashes.',
  },
  SIGNALBOX_ADDRESS_UNKNOWN: {
    status: 404,
    retryable: false,
    what: 'No actor lives at this address on any node that this one can reach.',
    fix: 'Check the spelling; see which services and channels run with `signalbox ps`.',
  },
  SIGNALBOX_ADDRESS_TAKEN: {
    status: 409,
    retryable: false,
    what: 'An actor already lives at this address.',
    fix: 'Stop the other actor first, or choose another name.',
  },
  SIGNALBOX_MAILBOX_FULL: {
    status: 503,
    retryable: true,
    what: 'The mailbox of the receiving actor is full.',
    fix: 'Send more slowly (await tell), raise its mailbox capacity or its concurrency, or add workers.',
  },
  SIGNALBOX_MAILBOX_DROPPED: {
    status: 503,
    retryable: true,
    what: 'The message was dropped from a full mailbox to make room for a newer one.',
    fix: "The actor's overflow policy is dropOldest; choose wait or reject if no message may be dropped.",
  },
  SIGNALBOX_ACTOR_STOPPED: {
    status: 503,
    retryable: true,
    what: 'The actor stopped before it handled the message.',
    fix: 'Send again: it is restarting or was moved. If it stays away, look at its last error in `signalbox ps`.',
  },
  SIGNALBOX_ACTOR_FAILED: {
    status: 500,
    retryable: false,
    what: 'The actor threw an error while it handled the message.',
    fix: 'See the cause; the supervisor restarts the actor by its restart policy.',
  },
  SIGNALBOX_SUPERVISION_ESCALATED: {
    status: 503,
    retryable: true,
    what: 'A child was restarted more often than its supervisor allows, so the failure went up a level.',
    fix: 'Mend the cause of the crashes; the last error is in the details.',
  },
  // Time
  SIGNALBOX_TIMEOUT_DEADLINE: {
    status: 504,
    retryable: true,
    what: 'No answer came before the deadline.',
    fix: 'Raise timeoutMs for this call, or find out what the receiver waits for.',
  },
  SIGNALBOX_CANCELLED: {
    status: 499,
    retryable: false,
    what: 'The caller gave up before the answer came.',
    fix: 'Nothing to mend: the work was cancelled on purpose.',
  },
  // Router
  SIGNALBOX_LINK_CLOSED: {
    status: 503,
    retryable: true,
    what: 'The link to the worker or node is closed.',
    fix: 'Send again; the router finds another place if there is one.',
  },
  SIGNALBOX_WORKER_LOST: {
    status: 503,
    retryable: true,
    what: 'The worker that had the message died before it answered.',
    fix: 'Send again if the operation may be repeated; the log says why the worker died.',
  },
  SIGNALBOX_NODE_LOST: {
    status: 503,
    retryable: true,
    what: 'The node that had the message cannot be reached any more.',
    fix: 'Send again if the operation may be repeated; check the network and the other node.',
  },
  SIGNALBOX_LINK_SATURATED: {
    status: 503,
    retryable: true,
    what: 'More messages wait for credit on a link than it may hold.',
    fix: 'Await every tell, so that back-pressure reaches the sender.',
  },
  SIGNALBOX_CODEC_UNENCODABLE: {
    status: 500,
    retryable: false,
    what: 'A value cannot travel between workers.',
    fix: 'Return data: no functions, symbols, promises, proxies or cycles; the path is in the details.',
  },
  SIGNALBOX_CODEC_MALFORMED: {
    status: 400,
    retryable: false,
    what: 'A frame or payload from another worker, node or client cannot be decoded.',
    fix: 'Run the same Signalbox version on both sides; if they agree, something else talks on this port.',
  },
  // Workers
  SIGNALBOX_WORKER_START: {
    status: 500,
    retryable: false,
    what: 'A worker thread did not start.',
    fix: 'See the cause: usually a module that does not load.',
  },
  SIGNALBOX_CPU_TIMEOUT: {
    status: 504,
    retryable: false,
    what: 'CPU work ran longer than its time limit and was stopped.',
    fix: 'Raise timeoutMs of the task, or give it less to do at once.',
  },
  SIGNALBOX_CPU_FAILED: {
    status: 500,
    retryable: false,
    what: 'CPU work threw an error or could not be loaded.',
    fix: 'See the cause; the task is a file with a default-exported function.',
  },
  // Services
  SIGNALBOX_SERVICE_INVALID: {
    status: 500,
    retryable: false,
    what: 'A file does not define a service.',
    fix: 'Export a class that extends Service, or service({...}), as default.',
  },
  SIGNALBOX_SERVICE_LOAD: {
    status: 500,
    retryable: false,
    what: 'A service file could not be loaded.',
    fix: 'Mend the file at the line given in the details.',
  },
  SIGNALBOX_SERVICE_FAILED: {
    status: 500,
    retryable: false,
    what: 'A service threw an error that is not one of its own typed errors.',
    fix: 'See the cause in the log under the same cid.',
  },
  SIGNALBOX_INPUT_INVALID: {
    status: 400,
    retryable: false,
    what: 'The input does not match the schema of the service.',
    fix: 'Mend the fields listed in details.errors; each has the JSON pointer of the value.',
  },
  SIGNALBOX_OUTPUT_INVALID: {
    status: 500,
    retryable: false,
    what: 'The service returned a value that does not match its own output schema.',
    fix: 'Mend the service or its output schema.',
  },
  SIGNALBOX_REQUEST_REFUSED: {
    status: 422,
    retryable: false,
    what: 'The service refuses the message because of what it says.',
    fix: 'Mend the message at the place given in the details.',
  },
  SIGNALBOX_NOT_FOUND: {
    status: 404,
    retryable: false,
    what: 'What the message asks for does not exist.',
    fix: 'Check the identifier.',
  },
  SIGNALBOX_CONFLICT: {
    status: 409,
    retryable: false,
    what: 'The message contradicts the present state.',
    fix: 'Read the present state and decide again.',
  },
  SIGNALBOX_UNAUTHENTICATED: {
    status: 401,
    retryable: false,
    what: 'The caller did not say who it is, or its credentials are wrong.',
    fix: 'Send valid credentials of a security definition that the channel accepts.',
  },
  SIGNALBOX_FORBIDDEN: {
    status: 403,
    retryable: false,
    what: 'The caller is known but may not do this.',
    fix: 'Ask for a role that may.',
  },
  SIGNALBOX_OVERLOADED: {
    status: 503,
    retryable: true,
    what: 'There is more work under way than this part of the bus accepts.',
    fix: 'Try again after the time given by Retry-After.',
  },
  // Messages
  SIGNALBOX_FORMAT_INVALID: {
    status: 400,
    retryable: false,
    what: 'A message is not well-formed in the format it claims to be.',
    fix: 'Mend it at the line and column given in the details.',
  },
  SIGNALBOX_FORMAT_LIMIT: {
    status: 413,
    retryable: false,
    what: 'A message exceeds a limit: size, depth, number of elements or compression ratio.',
    fix: 'Send smaller messages, or raise the limit named in the details if you trust the sender.',
  },
  SIGNALBOX_FORMAT_UNSUPPORTED: {
    status: 415,
    retryable: false,
    what: 'The media type or content encoding of a message is not accepted here.',
    fix: 'Send one of the types listed in the details.',
  },
  SIGNALBOX_NOT_ACCEPTABLE: {
    status: 406,
    retryable: false,
    what: 'None of the representations that the caller accepts can be made.',
    fix: 'Accept one of the types listed in the details.',
  },
  SIGNALBOX_METHOD_NOT_ALLOWED: {
    status: 405,
    retryable: false,
    what: 'The path exists, but not for this method.',
    fix: 'Use one of the methods in the Allow header.',
  },
  SIGNALBOX_REQUEST_TIMEOUT: {
    status: 408,
    retryable: true,
    what: 'The client was too slow to send its request.',
    fix: 'Send faster, or raise the time limit of the channel.',
  },
  SIGNALBOX_ANSWER_INVALID: {
    status: 500,
    retryable: false,
    what: 'The status or a header of an answer is not valid in the protocol of the channel.',
    fix: 'Set a status between 200 and 599 and headers without line breaks or control characters.',
  },
  SIGNALBOX_MAPPING_INVALID: {
    status: 500,
    retryable: false,
    what: 'A mapping is not one: a name, path or function in it is wrong, or its text does not parse.',
    fix: 'Mend the mapping at the place given in the details.',
  },
  SIGNALBOX_MAPPING_MISSING: {
    status: 422,
    retryable: false,
    what: 'The input of a mapping lacks values that the mapping requires.',
    fix: 'Send the values listed in details.missing, or give them a default in the mapping.',
  },
  SIGNALBOX_MAPPING_FAILED: {
    status: 422,
    retryable: false,
    what: 'A value could not be mapped: it is of the wrong kind, or a function of the mapping refuses it.',
    fix: 'Mend the value or the mapping; the place is in the details.',
  },
  SIGNALBOX_VALIDATION_FAILED: {
    status: 422,
    retryable: false,
    what: 'A message breaks the schema or the business rules that it is checked by.',
    fix: 'Mend the message at the places listed in details.violations; details.total is how many there are.',
  },
  SIGNALBOX_SCHEMA_INVALID: {
    status: 500,
    retryable: false,
    what: 'A schema or rule that messages are checked by cannot be used.',
    fix: 'Mend the schema at the place given in the message; its files must lie inside its folder.',
  },
  // Transports
  SIGNALBOX_OPTIONS_INVALID: {
    status: 400,
    retryable: false,
    what: 'Options do not match their schema.',
    fix: 'Mend the options listed in details.errors.',
  },
  SIGNALBOX_TRANSPORT_UNKNOWN: {
    status: 400,
    retryable: false,
    what: 'There is no transport of this name, or it has no such side.',
    fix: 'Use one of the names in the details.',
  },
  SIGNALBOX_CONNECT_FAILED: {
    status: 502,
    retryable: true,
    what: 'A channel or connection could not reach its server.',
    fix: 'Check address, port and network; the bus keeps trying.',
  },
  SIGNALBOX_NOT_CONNECTED: {
    status: 503,
    retryable: true,
    what: 'A channel or connection is not connected at the moment.',
    fix: 'Send again later; the bus is reconnecting.',
  },
  SIGNALBOX_CONNECT_REFUSED_CREDENTIALS: {
    status: 502,
    retryable: false,
    what: 'The server refused the credentials of a channel or connection.',
    fix: 'Mend user name and password in the options.',
  },
  SIGNALBOX_TLS_UNVERIFIED: {
    status: 502,
    retryable: false,
    what: 'The certificate of the other side does not verify.',
    fix: 'Give the right CA in tls.ca; do not switch verification off.',
  },
  SIGNALBOX_LISTEN_FAILED: {
    status: 500,
    retryable: true,
    what: 'A channel could not listen on its port.',
    fix: 'Choose a free port, or stop the program that holds it.',
  },
  SIGNALBOX_CIRCUIT_OPEN: {
    status: 503,
    retryable: true,
    what: 'The circuit breaker is open: the server failed too often in a short time.',
    fix: 'Wait; a probe is sent from time to time, and the circuit closes when it succeeds.',
  },
  SIGNALBOX_HTTP_STATUS: {
    status: 502,
    retryable: false,
    what: 'An HTTP server answered with an error status.',
    fix: 'See status and body in the details.',
  },
  SIGNALBOX_TARGET_FORBIDDEN: {
    status: 403,
    retryable: false,
    what: 'A message named a target address that the bus does not connect to.',
    fix: 'Allow the host in the options of the connection if it is meant to be reached.',
  },
  SIGNALBOX_BROKER_TOPOLOGY: {
    status: 500,
    retryable: false,
    what: 'A queue, exchange or binding of a broker is not there, or exists with other properties.',
    fix: 'See the message of the broker: declare it, mend its name, or give the properties that it exists with.',
  },
  SIGNALBOX_BROKER_REFUSED: {
    status: 503,
    retryable: true,
    what: 'A broker did not take a message: its queue is full, or it could not store it.',
    fix: 'Let consumers catch up or raise the limit of the queue, then send again.',
  },
  SIGNALBOX_MESSAGE_UNROUTABLE: {
    status: 502,
    retryable: false,
    what: 'A broker has no queue that a message would go to.',
    fix: 'Check exchange and routing key, and that a queue is bound; mandatory: false sends without this check.',
  },
  SIGNALBOX_OPERATION_REFUSED: {
    status: 502,
    retryable: false,
    what: 'The server of a channel or connection answered an operation with an error.',
    fix: 'The message has the words of the server; mend the operation, or the rights of the user.',
  },
  SIGNALBOX_DRIVER_MISSING: {
    status: 500,
    retryable: false,
    what: 'The client library of a transport is not installed.',
    fix: 'Install it in the project with the command in the message.',
  },
  SIGNALBOX_SQL_STATEMENT_INVALID: {
    status: 500,
    retryable: false,
    what: 'A statement, its parameters, a named query or an identifier is not one that may be executed.',
    fix: 'Mend what the message names; values go in as parameters, identifiers come from the options.',
  },
  SIGNALBOX_SQL_FAILED: {
    status: 502,
    retryable: false,
    what: 'The database refused a statement.',
    fix: 'See the message of the database and its code in the details.',
  },
  SIGNALBOX_SQL_CONSTRAINT: {
    status: 409,
    retryable: false,
    what: 'A statement breaks a constraint of the database: unique, foreign key, check or not null.',
    fix: 'Mend the data; the constraint is in the details where the database names it.',
  },
  SIGNALBOX_SQL_CONFLICT: {
    status: 409,
    retryable: true,
    what: 'The database gave up a transaction because of another one: a deadlock, a lock or serialization.',
    fix: 'Run the transaction again, or let it be run again with the option retries.',
  },
  // Store
  SIGNALBOX_STORE_CONFLICT: {
    status: 409,
    retryable: false,
    what: 'A record has another revision than the writer expected: somebody else changed it first.',
    fix: 'Read the record again and decide again; the present revision is in the details.',
  },
  SIGNALBOX_STORE_ENTRY_INVALID: {
    status: 400,
    retryable: false,
    what: 'A collection name, key or value is not one that the store can hold.',
    fix: 'Mend it at the place given in the message: plain data, bounded names and sizes.',
  },
  SIGNALBOX_STORE_DAMAGED: {
    status: 500,
    retryable: false,
    what: 'The store holds bytes that are not those that were written: a disk or a file copy damaged them.',
    fix: 'Put a backup in the place of the folder; a single damaged record can be written again or deleted.',
  },
  SIGNALBOX_STORE_FOREIGN: {
    status: 500,
    retryable: false,
    what: 'The file in the place of the store is not a store of Signalbox.',
    fix: 'Name another folder, or move the file away if it is not needed.',
  },
  SIGNALBOX_STORE_FULL: {
    status: 507,
    retryable: true,
    what: 'There is no room for the change: the disk is full, or the store has reached its size limit.',
    fix: 'Free disk space, delete records, or raise maxBytes of the store; what was stored before is safe.',
  },
  SIGNALBOX_STORE_LOCKED: {
    status: 503,
    retryable: true,
    what: 'Another process or another part of this one has the folder of the store open.',
    fix: 'Stop the process named in the details, or give each node its own folder.',
  },
  SIGNALBOX_STORE_UNAVAILABLE: {
    status: 503,
    retryable: true,
    what: 'The store cannot be opened, read or written, or was closed.',
    fix: 'See the message: usually the permissions of the folder or a file in its place.',
  },
  // Queues and topics
  SIGNALBOX_MESSAGE_INVALID: {
    status: 400,
    retryable: false,
    what: 'A message has properties that a queue or topic cannot keep.',
    fix: 'Mend the property named in the message: id, key, priority, delay, expiry, headers or size.',
  },
  SIGNALBOX_LOG_FULL: {
    status: 429,
    retryable: true,
    what: 'The queue or topic holds as many messages, or bytes, as its limit allows.',
    fix: 'Let consumers catch up, add consumers, raise maxMessages or maxBytes, or set overflow to dropOldest.',
  },
  SIGNALBOX_LOG_NOT_EMPTY: {
    status: 409,
    retryable: false,
    what: 'A queue or topic is to be removed that still holds messages.',
    fix: 'Let consumers finish, or purge it first; nothing was removed.',
  },
  SIGNALBOX_LEASE_LOST: {
    status: 409,
    retryable: false,
    what: 'A consumer settled a message that it does not have any more.',
    fix: 'Settle within the lease, extend it while you work, or set a longer leaseMs; the message is delivered again.',
  },
  SIGNALBOX_CONSUMER_REFUSED: {
    status: 409,
    retryable: true,
    what: 'A consumer gave a message back as failed.',
    fix: 'See its reason; the message is delivered again until its attempts are used up.',
  },
  SIGNALBOX_SUBSCRIPTION_UNKNOWN: {
    status: 404,
    retryable: false,
    what: 'The queue or topic has no subscription of this name.',
    fix: 'Subscribe first; `signalbox topics` lists the subscriptions that there are.',
  },
  // Audit log
  SIGNALBOX_AUDIT_OFF: {
    status: 404,
    retryable: false,
    what: 'This node records no messages.',
    fix: 'Set audit.enabled to true in signalbox.yaml and start the node again.',
  },
  SIGNALBOX_AUDIT_NOT_REPLAYABLE: {
    status: 409,
    retryable: false,
    what: 'A record of the audit log cannot be sent again.',
    fix: 'The message says why: its body was not kept, fields of it are masked, or it did not go to an actor of the bus.',
  },
  // Routes
  SIGNALBOX_ROUTE_INVALID: {
    status: 500,
    retryable: false,
    what: 'A file does not define a route, or a step of it is wrong.',
    fix: 'Mend the file at the line given in the message; docs/routes.md has every step with an example.',
  },
  SIGNALBOX_ROUTE_LOAD: {
    status: 500,
    retryable: false,
    what: 'A route file could not be loaded.',
    fix: 'Mend the file at the line given in the details.',
  },
  SIGNALBOX_EXPRESSION_FAILED: {
    status: 422,
    retryable: false,
    what: 'An expression of a route could not be evaluated for a message, or took too long.',
    fix: 'See the step in the details; mend the expression, or check the message before with validate.',
  },
  SIGNALBOX_ROUTE_PARTIAL: {
    status: 502,
    retryable: true,
    what: 'Fewer branches of a route succeeded than it needs.',
    fix: 'See the errors of the branches in the details; lower `need` if fewer will do.',
  },
  SIGNALBOX_ROUTE_BUSY: {
    status: 409,
    retryable: true,
    what: 'The same message is being handled at this moment.',
    fix: 'Send again later: it is handled then, or was.',
  },
  SIGNALBOX_THROTTLED: {
    status: 429,
    retryable: true,
    what: 'More messages came than a throttle lets through.',
    fix: 'Send again after the time given by Retry-After, or raise the limit of the throttle.',
  },
  SIGNALBOX_CLAIM_UNKNOWN: {
    status: 404,
    retryable: false,
    what: 'There is no body for a ticket of a claim check: it was restored for the last time, or has expired.',
    fix: 'Keep bodies for longer with forMs.',
  },
  // Node
  SIGNALBOX_CONFIG_INVALID: {
    status: 400,
    retryable: false,
    what: 'The project configuration is not valid.',
    fix: 'Mend signalbox.yaml at the place given in the details.',
  },
  SIGNALBOX_USAGE: {
    status: 400,
    retryable: false,
    what: 'A function of the API was called in a way it does not allow.',
    fix: 'See the message and the documentation of the function.',
  },
  SIGNALBOX_PEER_REFUSED: {
    status: 403,
    retryable: false,
    what: 'The node refuses a peer or client: its CURVE key is not known, or it speaks another protocol version.',
    fix: 'Add its public key to the peers or clients of the node.',
  },
  // Security
  SIGNALBOX_SECURITY_UNAVAILABLE: {
    status: 503,
    retryable: true,
    what: 'Credentials cannot be checked at the moment, for instance because the server of the signing keys is down.',
    fix: 'Send again later; check that the node reaches the address in the details.',
  },
  SIGNALBOX_SECRET_UNKNOWN: {
    status: 404,
    retryable: false,
    what: 'There is no secret of this name.',
    fix: 'Store it first, or mend the name in the reference.',
  },
  SIGNALBOX_SECRET_INVALID: {
    status: 400,
    retryable: false,
    what: 'The name or the size of a secret is not allowed.',
    fix: 'Use letters, digits, dots, dashes, underscores and slashes in names; keep values within the limit.',
  },
  SIGNALBOX_SECRET_KEY: {
    status: 500,
    retryable: false,
    what: 'The master key is missing or malformed, others can read its file, or it is not the key of the secret.',
    fix: 'Give the node the master key that the secrets were stored with, in a file of mode 0600 or the environment.',
  },
  SIGNALBOX_SECRET_TAMPERED: {
    status: 500,
    retryable: false,
    what: 'The stored record of a secret is not what was written.',
    fix: 'Store the secret again, and find out who else writes to the store.',
  },
  SIGNALBOX_POLICY_REFUSED: {
    status: 500,
    retryable: false,
    what: 'The configuration breaks the security policy of its profile.',
    fix: 'Mend what the findings in the details name, or allow it explicitly in the policy.',
  },
} as const satisfies Record<string, ErrorKind>

/** A stable error code of the bus. */
export type ErrorCode = keyof typeof ERRORS

export interface ErrorOptions {
  /** Data about this occurrence: places, limits, names. It crosses threads and nodes, so plain data only. */
  details?: Record<string, unknown>
  cause?: unknown
  /** Overrides the table's HTTP status; services use it for their own statuses. */
  status?: number
  retryable?: boolean
  /** How long to wait before trying again, in milliseconds; becomes `Retry-After`. */
  retryAfterMs?: number
}

/** What an error looks like between workers and nodes. */
export interface WireError {
  code: string
  message: string
  details?: Record<string, unknown> | undefined
  status?: number | undefined
  retryable?: boolean | undefined
  retryAfterMs?: number | undefined
}

/**
 * An error with a stable code. Services may throw their own: `new SignalboxError('ORDER_UNKNOWN', 'no order 7',
 * { status: 404 })`; a code outside the table needs a status, or it counts as 500.
 */
export class SignalboxError extends Error {
  readonly code: string
  readonly details: Record<string, unknown> | undefined
  readonly status: number
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined

  constructor(code: ErrorCode | (string & {}), message?: string, options: ErrorOptions = {}) {
    const kind: ErrorKind | undefined = Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode] : undefined
    super(message ?? kind?.what ?? code, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'SignalboxError'
    this.code = code
    this.details = options.details
    this.status = options.status ?? kind?.status ?? 500
    this.retryable = options.retryable ?? kind?.retryable ?? false
    this.retryAfterMs = options.retryAfterMs
  }

  /** What to do about it, for codes of the table. */
  get fix(): string | undefined {
    return Object.hasOwn(ERRORS, this.code) ? ERRORS[this.code as ErrorCode].fix : undefined
  }

  /** Plain data that {@link fromWire} turns back into an equal error. The cause stays behind: it may hold secrets. */
  toWire(): WireError {
    return {
      code: this.code,
      message: this.message,
      details: this.details,
      status: this.status,
      retryable: this.retryable,
      retryAfterMs: this.retryAfterMs,
    }
  }
}

/** Rebuilds an error that came from another worker, node or client. */
export function fromWire(wire: WireError): SignalboxError {
  return new SignalboxError(wire.code, wire.message, wire)
}

/** Makes any thrown value a SignalboxError; one that already is comes back as it is. */
export function toSignalboxError(thrown: unknown, code: ErrorCode): SignalboxError {
  if (thrown instanceof SignalboxError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new SignalboxError(code, message, { cause: thrown })
}
