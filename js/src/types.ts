/** The package's public types. */
import type { Codec, Frame } from './codec.js';
import type { Lost } from './lost.js';

/** The events of an application that does not name its own. */
export type AnyEvents = Record<string, unknown>;
/** The questions of an application that does not name its own. */
export type AnyAsks = Record<string, (payload: unknown) => unknown>;
/** The names in a map of events or questions. */
export type Name<Map> = keyof Map & string;
/** A payload that may be left out where its type allows that. */
export type Payload<P, Rest extends unknown[]> = undefined extends P ? [payload?: P, ...rest: Rest] : null extends P ? [payload?: P, ...rest: Rest] : [payload: P, ...rest: Rest];
type Question<Asks, A extends Name<Asks>> = Asks[A] extends (...parameters: infer P) => unknown ? P[0] : unknown;
type Answer<Asks, A extends Name<Asks>> = Asks[A] extends (...parameters: never[]) => infer R ? Awaited<R> : unknown;

/** A frame that arrived. */
export interface Message<E extends string = string, P = unknown> {
  readonly event: E;
  readonly payload: P;
  /** Its number in the session. A volatile frame has none. */
  readonly number?: number;
  /** Set if the sender wants an answer: `send(event, payload, { re: id })` answers, as does a handler of `onAsk`. */
  readonly id?: string;
  /** The room that it was sent to, if the server names rooms. */
  readonly room?: string;
  readonly volatile?: boolean;
  /** Set on answers, which only `$answer` reports. */
  readonly re?: string;
  readonly more?: boolean;
}

/** Any frame of a map of events: `event` determines the type of `payload`. */
export type MessageOf<In> = { [E in Name<In>]: Message<E, In[E]> }[Name<In>];

export type { LostReason } from './lost.js';

/** What became of a frame that was sent. */
export interface Sent {
  /**
   * `queued`: waits for a socket. `sent`: was written to one. `acked`: the server has received it. `lost`: it will not be sent
   * again; `error` is the reason.
   */
  readonly state: 'queued' | 'sent' | 'acked' | 'lost';
  /** The frame's number in the session. It may shrink while the frame is `queued`. 0 if it got none. */
  readonly number: number;
  readonly frame: Frame;
  /** The bytes of its WebSocket message. */
  readonly size: number;
  /** Set when the state is `lost`. */
  readonly error: Lost | undefined;
  /** Resolves when the server has received the frame. Rejects with {@link Lost}, which may be ignored. */
  readonly acked: Promise<void>;
}

/** Options of `send`. */
export interface SendOptions {
  /** Milliseconds that the frame may wait for a socket. Default: no limit. */
  ttl?: number;
  /** A value that is stale a moment later, such as a cursor: never kept, acknowledged or sent again. Default: false. */
  volatile?: boolean;
  /**
   * The frame replaces an earlier one that has the same `latest` and still waits for a socket. `true` stands for the name of
   * the event. Default: frames do not replace each other.
   */
  latest?: boolean | string;
  /** Answers the frame with this `id`. */
  re?: string;
  /** Marks an answer that further answers follow. */
  more?: boolean;
  /** Marks the frame as a question whose answers `$answer` reports. `ask` chooses an `id` by itself. */
  id?: string;
}

/** Options of `ask` and `answers`. */
export interface AskOptions {
  /** Milliseconds until the (next) answer. Default: 10,000; `Infinity` for no limit. */
  timeout?: number;
  /** Gives the question up. */
  signal?: AbortSignal;
}

/** Options of `frames`. */
export interface FramesOptions {
  /** Ends the iteration. */
  signal?: AbortSignal;
  /** The frames that are kept for a reader that lags behind. Beyond them nothing is acknowledged, so that the server waits. Default: 64. */
  limit?: number;
}

/** A session (PROTOCOL.md §5). */
export interface Session {
  /** A secret, which resumes the session. It is not enumerable, so that no log shows it by accident. */
  readonly token: string;
  /** The connection ID and the room that the server assigned. */
  readonly id: string;
  readonly room: string;
  /** Milliseconds that the session outlives its socket. */
  readonly windowMs: number;
  /** What either side keeps for replay, in frames and bytes. */
  readonly buffer: number;
  readonly bufferBytes: number;
  /** The largest message that the server accepts, in bytes. `Infinity` if it has not announced a limit. */
  readonly maxMessage: number;
}

/**
 * `connecting`: no session yet. `open`: frames flow. `away`: the session waits for a new socket. `suspended`: the same, until
 * `retry()`. `closed`: the end.
 */
export type State = 'connecting' | 'open' | 'away' | 'suspended' | 'closed';

/** A snapshot, which is the same object until something changes. */
export interface Status {
  readonly state: State;
  /** Dials since a connection that lasted. */
  readonly attempt: number;
  /** When the next dial starts (`Date.now()`), if one is waited for. */
  readonly retryAt: number | undefined;
  readonly session: Session | undefined;
  /** The frames that are not yet acknowledged. */
  readonly pending: number;
  /** When `state` changed (`Date.now()`). */
  readonly since: number;
}

/** How a socket ended. 1006 stands for an end without a close frame. */
export interface End {
  readonly code: number;
  readonly reason: string;
}

/** The connection's own events. The names begin with `$`, which no event of an application does (R3.3). */
export interface Lifecycle {
  /** A fresh session: the first one, or the one after `$lost`. */
  $open: { session: Session };
  /** The session continues on a new socket. */
  $restored: { session: Session };
  /** The socket is lost; the session may continue. */
  $dropped: End;
  /** The next dial starts in `ms`. `code` and `reason` are the end of the last socket or dial. */
  $waiting: End & { ms: number; attempt: number };
  /** The frames with these numbers will never arrive. */
  $gap: { from: number; to: number };
  /** The session has ended; `sends` were never acknowledged. */
  $lost: { reason: string; sends: Sent[] };
  /** The end, without further dials; `sends` were never acknowledged. */
  $closed: End & { sends: Sent[] };
  /** Frames that waited for a socket were written to one. */
  $sent: { sends: Sent[] };
  /** The server has received every frame up to the number `upTo`. */
  $acked: { upTo: number; sends: Sent[] };
  /** Frames that were queued before the first `$open` have more than `limit` bytes: they were not sent. */
  $refused: { limit: number; sends: Sent[] };
  /** An answer for which no `ask` waits. */
  $answer: Message;
}

/** One entry of `explain()` and of the option `log`. It never contains a token. */
export interface Entry {
  /** `Date.now()` */
  readonly at: number;
  /** The name of a lifecycle event; `dial`, `page`, `keep` or `token`. */
  readonly what: string;
  readonly detail?: unknown;
}

/** Why the application is asked for a token: the first dial, a further one, one after 3000, one after a dial that failed. */
export type TokenReason = 'connect' | 'reconnect' | 'expired' | 'refused';
/** Returns fresh credentials, of 1 to 3,072 bytes. `signal` is aborted when the dial is abandoned. */
export type TokenSource = (request: { reason: TokenReason; signal: AbortSignal }) => string | PromiseLike<string>;

/** Keeps a session over a reload of the page. A method that throws does not break sending. */
export interface Keep {
  get(key: string): string | null | undefined;
  set(key: string, value: string): void;
  delete(key: string): void;
}

/** The part of `WebSocket` that the package needs: browsers, Node 22, Deno, Bun, Workers and the package `ws` have it. */
export interface Socket {
  readonly readyState: number;
  readonly protocol: string;
  readonly bufferedAmount: number;
  binaryType: string;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string | Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}
/** The constructor of a {@link Socket}. */
export type SocketClass = new (url: string, protocols: string[]) => Socket;

/** Options of `connect`. */
export interface Options {
  /** Credentials, or a function that is called for fresh ones before every dial. They travel as a subprotocol, never in the URL. */
  token?: string | TokenSource;
  /** Default: `json`. */
  codec?: Codec;
  /**
   * What survives a reload of the page: nothing (`memory`, the default), or the session and its unacknowledged sends, in
   * `sessionStorage` (`reload`) or in the application's own storage. A duplicated tab gets its own session.
   */
  keep?: 'memory' | 'reload' | Keep;
  /** The most frames and bytes that are kept until the server acknowledges them. Defaults: 256 and 1 MiB, or less if the server keeps less. */
  buffer?: number;
  bufferBytes?: number;
  /**
   * The delay before dial n is `min(base × 2^n, max)` times a random number from 0.5 to 1. Defaults: 500 and 30,000 ms. `fatal`
   * decides which ends are final, besides those that PROTOCOL.md §7 makes final.
   */
  retry?: { base?: number; max?: number; fatal?: (end: End) => boolean };
  /** Closes the socket of a page that has been hidden for `closeAfter` ms, and resumes when it is shown. Default: never. */
  hidden?: { closeAfter: number };
  /** Gets every entry of `explain()` when it is made. */
  log?: (entry: Entry) => void;
  /** For Node 20: `import { WebSocket } from 'ws'`. Default: the global one. */
  WebSocket?: unknown;
}

/** Asks and answers, sends and receives, whatever happens to sockets. */
export interface Connection<In extends object = AnyEvents, Out extends object = AnyEvents, Asks extends object = AnyAsks> extends AsyncDisposable {
  readonly status: Status;
  readonly session: Session | undefined;
  /** Calls the listener for an event of the connection itself, and returns the function that ends that. */
  on<E extends keyof Lifecycle>(event: E, listener: (detail: Lifecycle[E]) => void): () => void;
  /** The same for every frame, once and in order. */
  on(event: '*', listener: (message: MessageOf<In>) => void): () => void;
  /** The same for the frames with this event. */
  on<E extends Name<In>>(event: E, listener: (message: Message<E, In[E]>) => void): () => void;
  /**
   * Sends a frame, now or when there is a socket. Being offline or full is not an error: see the state of the returned frame.
   * Throws a `TypeError` for a frame that can never be sent: an event that begins with `$`, a lone surrogate, a payload without encoding.
   */
  send<E extends Name<Out>>(event: E, ...rest: Payload<Out[E], [options?: SendOptions]>): Sent;
  /**
   * Asks the server, and resolves with the payload of its (first) answer. Rejects with `AskError` for an answer that reports an
   * error and after the timeout, with {@link Lost} if the session ends first, with the reason of the signal if that aborts.
   */
  ask<A extends Name<Asks>>(event: A, ...rest: Payload<Question<Asks, A>, [options?: AskOptions]>): Promise<Answer<Asks, A>>;
  /** The same for a question with several answers. Ending the loop cancels the question. */
  answers<A extends Name<Asks>>(event: A, ...rest: Payload<Question<Asks, A>, [options?: AskOptions]>): AsyncIterableIterator<Answer<Asks, A>, undefined, undefined>;
  /**
   * Answers the server's questions with this event by what the handler returns: a value, a promise, or an async iterable for several
   * answers. An `AskError` that it throws reaches the server with its code, anything else as `failed`. `signal` is aborted by
   * `$cancel` and when the session ends.
   */
  onAsk<E extends Name<In>>(event: E, handler: (payload: In[E], context: { signal: AbortSignal; message: Message<E, In[E]> }) => unknown): () => void;
  /** Iterates over the frames that arrive from now on. A reader that lags behind makes the server wait. */
  frames(options?: FramesOptions): AsyncIterableIterator<MessageOf<In>, undefined, undefined>;
  /** Resolves when the buffers of unacknowledged and unsent bytes are at most half full. Rejects with {@link Lost} once closed. */
  ready(): Promise<void>;
  /** Calls the listener when `status` has changed, and returns the function that ends that. Fits `useSyncExternalStore`. */
  watch(listener: (status: Status) => void): () => void;
  /** Dials at once, also after `suspend()` and after the server has ended the connection. Not after `close()`. */
  retry(): void;
  /** Lets go of the socket. The session waits, for its window, until `retry()`. For a login: `suspend()`, then `retry()`. */
  suspend(): void;
  /** Ends the session. Nothing revives the connection. `await using` waits up to 5 s for acknowledgements first. */
  close(): void;
  /** For tests and demonstrations: drops the socket, and dials after `ms`, or after the first delay of the backoff. */
  cut(ms?: number): void;
  /** The last 50 transitions. */
  explain(): readonly Entry[];
}
