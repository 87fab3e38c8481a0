import { Asks } from './asks.js';
import { Channel } from './channel.js';
import { json, type Codec, type Frame } from './codec.js';
import { Credentials } from './credentials.js';
import { Emitter } from './emitter.js';
import { byteLength, isCount, isFlag, isText } from './guards.js';
import { Journal } from './journal.js';
import { Shelf } from './keep.js';
import { Link } from './link.js';
import { Lost } from './lost.js';
import { Outbox } from './outbox.js';
import { SentFrame } from './sent.js';
import { SessionMachine } from './session.js';
import type { AnyAsks, AnyEvents, AskOptions, Connection, Entry, FramesOptions, Message, Options, SendOptions, Session, SocketClass, Status } from './types.js';

/** Bytes that wait in a socket. Beyond them it takes no volatile frame (R12.5): the frame would be stale when it leaves. */
const VOLATILE_LIMIT = 65_536;
const READER_LIMIT = 64;
/** How long `await using` waits for acknowledgements. */
const DRAIN_TIMEOUT = 5000;
/** How often `ready` looks at the bytes in the socket, whose departure no event reports. */
const UNSENT_CHECK = 50;

// A lone surrogate has no encoding in UTF-8: the server would close the connection (R2.10).
const HALF_CHARACTER = /\p{Surrogate}/u;

/** What an application holds: it connects the parts, and checks what the application gives. */
export class Room {
  #codec: Codec;
  #journal: Journal;
  #emitter = new Emitter();
  #outbox: Outbox;
  #link: Link;
  #machine: SessionMachine;
  #asks: Asks;
  #waiting: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #watchers = new Set<(status: Status) => void>();
  #isNotifying = false;
  #status: Status | undefined;

  constructor(url: string | URL, options: Options) {
    const { buffer = 256, bufferBytes = 1 << 20, codec = json, token, keep, log } = options;
    if (!isCount(buffer) || buffer < 1) throw new RangeError(`invalid buffer: ${buffer} (expected 1 frame or more)`);
    if (!isCount(bufferBytes) || bufferBytes < 1) throw new RangeError(`invalid bufferBytes: ${bufferBytes} (expected 1 or more)`);
    const socketClass = options.WebSocket ?? (typeof WebSocket === 'undefined' ? undefined : WebSocket);
    if (!socketClass) throw new TypeError('there is no WebSocket here: pass the class of the package `ws` as the option `WebSocket`');
    const href = new URL(url, typeof location === 'undefined' ? undefined : location.href).href.replace(/^http/, 'ws');
    const credentials = new Credentials(token);
    this.#codec = codec;
    this.#journal = new Journal(log);
    this.#outbox = new Outbox({ buffer, bufferBytes }, new Shelf(keep, href, this.#journal));
    this.#asks = new Asks(this);
    const machine = this.#machine = new SessionMachine(codec, this.#outbox, this.#asks, this.#emitter, this.#journal, () => this.#changed());
    this.#link = machine._link = new Link(href, socketClass as SocketClass, options, credentials, this.#journal, machine);
    machine._begin();
  }

  get session(): Session | undefined { return this.#machine._session; }

  get status(): Status {
    const { _state: state, _attempt: attempt, _retryAt: retryAt, _since: since } = this.#link;
    const last = this.#status;
    const pending = this.#outbox._kept.length;
    if (last && last.state === state && last.attempt === attempt && last.retryAt === retryAt && last.since === since
      && last.pending === pending && last.session === this.session) return last;
    return this.#status = { state, attempt, retryAt, session: this.session, pending, since };
  }

  watch(listener: (status: Status) => void): () => void {
    const own = (status: Status) => listener(status);
    this.#watchers.add(own);
    return () => { this.#watchers.delete(own); };
  }

  on(event: string, listener: (detail: any) => void): () => void {
    return this.#emitter._on(event, listener);
  }

  send(event: string, payload?: unknown, options?: SendOptions): SentFrame {
    return this._send(event, payload, options);
  }

  ask(event: string, payload?: unknown, options?: AskOptions): Promise<unknown> {
    return this.#asks._ask(event, payload, options);
  }

  answers(event: string, payload?: unknown, options?: AskOptions): Channel<unknown> {
    return this.#asks._answers(event, payload, options);
  }

  onAsk(event: string, handler: (payload: any, context: { signal: AbortSignal; message: any }) => unknown): () => void {
    return this.#asks._handle(event, handler);
  }

  frames({ signal, limit = READER_LIMIT }: FramesOptions = {}): Channel<Message> {
    const off = this.on('*', (message) => channel._push(message));
    const leave = () => {
      off();
      signal?.removeEventListener('abort', end);
      this._removeReader(channel);
    };
    const channel: Channel<Message> = new Channel(limit, () => this._drain(), leave);
    const end = () => {
      leave();
      channel._end();
    };
    if (signal?.aborted || this.#link._state === 'closed') end();
    else {
      this._addReader(channel);
      signal?.addEventListener('abort', end);
      this.on('$closed', end);
    }
    return channel;
  }

  ready(): Promise<void> {
    return this._ready();
  }

  retry(): void {
    this.#link._retryNow();
    this.#changed();
  }

  suspend(): void { this.#link._suspend(); }

  close(): void { this.#link._finish(1000, '', true); }

  cut(ms?: number): void { this.#link._cut(ms); }

  explain(): readonly Entry[] { return [...this.#journal._entries]; }

  async _dispose(): Promise<void> {
    const last = this.#outbox._kept.at(-1);
    if (last && this.#link._state !== 'closed') {
      this.#machine._sync();
      let timer;
      await Promise.race([last.acked.catch(() => {}), new Promise((resolve) => { timer = setTimeout(resolve, DRAIN_TIMEOUT); })]);
      clearTimeout(timer);
    }
    this.close();
  }

  // ---- for questions and answers

  /** Throws for what can never be sent, and returns a lost frame for what cannot be sent now. */
  _send(event: string, payload: unknown, { ttl, volatile, latest, re, more, id }: SendOptions = {}): SentFrame {
    if (!isText(id) || !isText(event) || !isText(re) || !isFlag(more) || !isFlag(volatile)) {
      throw new TypeError('event, id and re must be strings, more and volatile booleans');
    }
    if (HALF_CHARACTER.test(`${id}${event}${re}`)) throw new TypeError('event, id and re must not contain lone surrogates');
    //= PROTOCOL.md#R3.3: MUST refuse to send such an event for its application
    if (event?.startsWith('$')) throw new TypeError(`events that begin with $ belong to the protocol: ${event}`);
    const frame: Frame = { re: re || undefined, more: more || undefined, volatile: volatile || undefined, id: id || undefined, event: event || undefined, payload };
    const data = this.#codec.encode(frame); // first, because `toJSON` of a payload may send or close
    const size = byteLength(data);
    const sent = new SentFrame(frame, data, size);
    const { session } = this;
    const limit = session?.maxMessage ?? Infinity;
    if (this.#link._state === 'closed') return sent._lose('closed');
    //= PROTOCOL.md#R3.14: MUST refuse a `send` of more than `max_message` bytes
    if (size > limit) return sent._lose('too big', limit);
    if (volatile) {
      const isWritten = this.#link._state === 'open' && this.#link._unsent < VOLATILE_LIMIT && this.#link._transmit(data);
      return sent._become(isWritten ? 'sent' : 'lost', new Lost('volatile'));
    }
    const outbox = this.#outbox;
    if (latest) {
      sent._latest = latest === true ? event : latest;
      outbox._remove((other) => other._latest === sent._latest, 'replaced');
    }
    if (!outbox._fits(size, session)) {
      this.#machine._sync();
      return sent._lose('full');
    }
    outbox._add(sent);
    this.#machine._writeNew(sent);
    if (ttl !== undefined && sent.state === 'queued') {
      sent._deadline = Date.now() + ttl;
      sent._timer = setTimeout(() => this.#machine._expire(), Math.min(ttl, 2 ** 31 - 1));
    }
    this.#changed();
    return sent;
  }

  _cancel(id: string, sent: SentFrame): void {
    if (this.#outbox._remove((other) => other === sent, 'cancelled').length) this.#changed();
    else this.#machine._control('$cancel', { id });
  }

  _ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#checkReady();
      if (this.#waiting.length) this.#machine._sync(); // R4.25
    });
  }

  _hears(event: string): boolean {
    return this.#emitter._hears(event) || this.#emitter._hears('*');
  }

  _addReader(reader: Channel<any>): void { this.#machine._readers.add(reader); }

  _removeReader(reader: Channel<any>): void {
    this.#machine._readers.delete(reader);
    this._drain();
  }

  _drain(): void { this.#machine._drain(); }

  // ---- changes

  /** Tells those who wait for capacity at once, and those who watch in a microtask: once for many changes. */
  #changed(): void {
    this.#checkReady();
    if (this.#isNotifying || this.#watchers.size === 0) return;
    this.#isNotifying = true;
    const before = this.#status;
    queueMicrotask(() => {
      this.#isNotifying = false;
      const { status } = this;
      if (status !== before) for (const watcher of [...this.#watchers]) watcher(status);
    });
  }

  #checkReady(): void {
    if (this.#waiting.length === 0) return;
    const isClosed = this.#link._state === 'closed';
    const unsent = this.#link._unsent;
    if (!isClosed && !this.#outbox._isHalfEmpty(unsent, this.session)) {
      if (unsent > 0 && this.#outbox._isHalfEmpty(0, this.session)) setTimeout(() => this.#checkReady(), UNSENT_CHECK);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve, reject } of waiting) {
      if (isClosed) reject(new Lost('closed'));
      else resolve();
    }
  }
}

/**
 * Connects to a server in session mode, and returns at once: frames may be sent from now on.
 *
 * Throws a `RangeError` for an option out of its range, a `TypeError` for a URL that is none or where there is no `WebSocket`.
 *
 * @param url `ws:`, `wss:`, `http:` or `https:`, or relative to the page. It must identify the same client and room for the whole
 *   session (R5.6). Credentials do not belong into it: see the option `token`.
 */
export function connect<In extends object = AnyEvents, Out extends object = AnyEvents, Asks extends object = AnyAsks>(
  url: string | URL, options: Options = {},
): Connection<In, Out, Asks> {
  const room = new Room(url, options);
  const dispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose'); // younger than some runtimes
  return Object.assign(room, { [dispose]: () => room._dispose() }) as unknown as Connection<In, Out, Asks>;
}
