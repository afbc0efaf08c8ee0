/** What the test of a transport gives to the conformance suite: a way to reach it from outside, with real programs. */
import type { Channel } from '../../core/transport.ts'

/** A message as the suite sends it and as a peer sees it. Header names are in lower case. */
export interface TestMessage {
  payload: Buffer
  headers: Record<string, string>
  cid?: string
  /** The sender gives up when it is aborted. */
  signal?: AbortSignal
}

/** An answer as it arrives outside, or as a peer gives it. */
export interface TestAnswer {
  payload: Buffer
  headers: Record<string, string>
}

/** A server that the suite may stop and start again under the same address, keeping what it had accepted. */
export interface TestPeer {
  stop(): Promise<void>
  start(): Promise<void>
}

interface Endpoint {
  /** Options of a channel or connection on this endpoint, as a user would write them. */
  options: Record<string, unknown>
  /** The server behind it; absent when the channel itself is the server or there is none. */
  peer?: TestPeer
  /** Options that differ from `options` in wrong credentials; absent when the protocol has none. */
  badCredentials?: Record<string, unknown>
  /** Options that lead to a server whose certificate does not verify; absent when there is no TLS. */
  badCertificate?: Record<string, unknown>
  /** Frees everything this endpoint holds, also while messages wait. */
  close(): Promise<void>
}

/** A place where channels are opened: a queue, a port, a folder. Each scenario has its own. */
export interface ChannelEndpoint extends Endpoint {
  /**
   * Sends a message in from outside. With request/reply, resolves with the answer and rejects when there is
   * none; otherwise resolves when the source has taken the message.
   */
  send(message: TestMessage, channel: Channel): Promise<TestAnswer | undefined>
  /** How many messages the source still keeps; absent when it cannot tell. */
  unsettled?(): Promise<number>
}

/** A place that connections send to. The suite sets `answer`; it is called once for each message that arrives. */
export interface ConnectionEndpoint extends Endpoint {
  answer(handler: (message: TestMessage) => Promise<TestAnswer>): void
  /** Attributes of an outgoing message that make it arrive here. */
  attributes?: Record<string, unknown>
}

/** What a transport's conformance test hands over. A side the transport does not have is left out. */
export interface TransportHarness {
  channel?: { open(): Promise<ChannelEndpoint> }
  connection?: { open(): Promise<ConnectionEndpoint> }
  /** Scenarios that do not fit this protocol, by name, with the reason. They show up as skipped. */
  waived?: Record<string, string>
}
