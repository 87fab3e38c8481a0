/**
 * `rejoin/test`: a server in memory, for tests of applications that use rejoin. It speaks the protocol, sets no timers (so fake
 * clocks work), and does at any moment what networks and servers do at bad ones.
 *
 * ```ts
 * import { connect } from 'rejoin';
 * import { FakeServer } from 'rejoin/test';
 *
 * const server = new FakeServer();
 * const room = connect('ws://test', { WebSocket: server.WebSocket });
 * room.send('say', { text: 'hello' });
 * const say = await server.next('say');
 * server.send('said', say.payload);
 * server.cut(); // the session continues on the next socket
 * ```
 *
 * @module
 */
import { json, type Codec, type Frame, type Socket, type SocketClass } from './index.js';

/** Options of a {@link FakeServer}. */
export interface FakeServerOptions {
  /** Default: `json`. */
  codec?: Codec;
  /** The immediate result of a dial: success, failure, or none, until `accept()` or `refuse()` answers. Default: `accept`. */
  onDial?: 'accept' | 'refuse' | 'wait';
  /** Whether every frame is acknowledged at once. Otherwise `ack()` acknowledges. Default: true. */
  acks?: boolean;
  /** Members of `$open` other than the defaults: `id`, `room`, `window_ms`, `buffer`, `buffer_bytes`, `max_message`. */
  open?: { id?: string; room?: string; window_ms?: number; buffer?: number; buffer_bytes?: number; max_message?: number };
}

/** Everything of a frame but its event and payload. */
export type FrameOptions = Omit<Frame, 'event' | 'payload'>;

/** A server in memory with one session at a time. */
export class FakeServer {
  /** The class to pass as the option `WebSocket` of `connect`. */
  readonly WebSocket: SocketClass;
  /** The data frames that have arrived, each once, in order. */
  readonly received: Frame[] = [];
  /** The `id`s of questions that the client has cancelled. */
  readonly cancelled: string[] = [];
  /** The result of the next dials: see the option with this name. */
  onDial: 'accept' | 'refuse' | 'wait';
  /** The number of dials so far. */
  dials = 0;
  /** The credentials of the last dial. */
  token: string | undefined;

  #options: FakeServerOptions;
  #codec: Codec;
  #dialling: FakeSocket | undefined;
  #socket: FakeSocket | undefined;
  #sessions = 0;
  /** The session's token; empty without a session. */
  #session = '';
  /** The client's frames of this session that have arrived. */
  #count = 0;
  /** The frames that the client has not acknowledged, from the number `#acked` + 1. */
  #kept: Frame[] = [];
  #acked = 0;
  #waiting: { event: string | undefined; resolve: (frame: Frame) => void }[] = [];
  #taken = new Set<Frame>();

  constructor(options: FakeServerOptions = {}) {
    const server = this;
    this.#options = options;
    this.#codec = options.codec ?? json;
    this.onDial = options.onDial ?? 'accept';
    this.WebSocket = class extends FakeSocket {
      constructor(url: string, offers: string[]) {
        super(url, offers, {
          message: (socket, data) => { if (socket === server.#socket) server.#receive(server.#codec.decode(data)); },
          closed: (socket, code) => server.#closed(socket, code),
        });
        server.#dial(this);
      }
    };
  }

  /** Whether a socket is attached. */
  get isOpen(): boolean { return this.#socket !== undefined; }

  /** Lets the client's dial succeed, which waits (`onDial`): resumes the session that it offers, or opens a fresh one. */
  accept(): void {
    const socket = this.#dialling;
    if (!socket) throw new Error('there is no dial to accept');
    this.#dialling = undefined;
    const [, token, received] = /^rejoin\.resume\.(.+)\.(\d+)$/.exec(socket.offers.find((offer) => offer.startsWith('rejoin.resume.')) ?? '') ?? [];
    const resumed = token !== undefined && token === this.#session;
    if (!resumed) this.#begin();
    else this.#forgetAcknowledged(Number(received));
    this.#socket?.end(4000, 'taken over');
    this.#socket = socket;
    socket.open(`rejoin.v1.${this.#codec.name}`);
    const bounds = { window_ms: 30_000, buffer: 256, buffer_bytes: 1 << 20, max_message: 65_536, id: 'test', room: 'test', ...this.#options.open };
    const lost = token === undefined || resumed ? {} : { lost: 'unknown' };
    this.#write({ event: '$open', payload: { session: this.#session, resumed, received: this.#count, ...bounds, ...lost } });
    for (const frame of this.#kept) this.#write(frame);
  }

  /** Refuses the client's dial. In a browser it looks like a lost socket. */
  refuse(): void {
    const socket = this.#dialling;
    if (!socket) throw new Error('there is no dial to refuse');
    this.#dialling = undefined;
    socket.end(1006, '');
  }

  /** Sends a data frame: now if a socket is attached, and again after a resume until the client has acknowledged it. */
  send(event: string, payload?: unknown, options: FrameOptions = {}): void {
    const frame = { ...options, event, payload };
    if (!frame.volatile) this.#kept.push(frame);
    if (this.#socket) this.#write(frame);
  }

  /** Answers a question of the client; `more` announces further answers. */
  answer(question: Frame, payload?: unknown, { event = 'answer', more = false } = {}): void {
    this.send(event, payload, { re: question.id, more });
  }

  /** Answers a question with an error. */
  fail(question: Frame, code: string, message = code): void {
    this.answer(question, { code, message }, { event: 'error' });
  }

  /** Resolves to the next data frame (with this event) that `next` has not returned yet. */
  next(event?: string): Promise<Frame> {
    const frame = this.received.find((frame) => !this.#taken.has(frame) && (event === undefined || frame.event === event));
    if (!frame) return new Promise((resolve) => { this.#waiting.push({ event, resolve }); });
    this.#taken.add(frame);
    return Promise.resolve(frame);
  }

  /** Acknowledges the client's frames: all, or the first `upTo` of the session. */
  ack(upTo = this.#count): void { this.#write({ event: '$ack', payload: upTo }); }

  /** Reports the next `count` frames as missing. */
  gap(count = 1): void {
    const from = this.#acked + this.#kept.length + 1;
    this.#write({ event: '$gap', payload: { from, to: from + count - 1 } });
    this.#kept = [];
    this.#acked = from + count - 1;
  }

  /** Cuts the socket without a close frame. The session stays. */
  cut(): void { this.close(1006); }

  /** Closes the socket according to the table in PROTOCOL.md §7: 1000 ends the session, 1012 and 3000 suspend it. */
  close(code = 1000, reason = ''): void {
    const socket = this.#socket;
    this.#socket = undefined;
    if ([1000, 1002, 1007, 1008, 1009, 1011, 3003].includes(code) || (code === 1001 && reason === 'server shutting down')) this.#session = '';
    socket?.end(code, reason);
  }

  /** Forgets the session, as a server that has restarted: the client's next resume gets a fresh one, and `$lost` is reported. */
  forget(): void {
    this.#session = '';
  }

  /** Sends the text or bytes of a message as they are, for tests of what no server should send. */
  raw(data: string | Uint8Array<ArrayBuffer>): void { this.#socket?.deliver(data); }

  #dial(socket: FakeSocket): void {
    this.dials += 1;
    this.#dialling = socket;
    const auth = socket.offers.find((offer) => offer.startsWith('rejoin.auth.'))?.slice(12);
    this.token = auth && new TextDecoder().decode(Uint8Array.from(atob(auth.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0)));
    queueMicrotask(() => {
      if (this.#dialling !== socket) return;
      if (this.onDial === 'refuse') this.refuse();
      else if (this.onDial === 'accept') this.accept();
    });
  }

  #begin(): void {
    this.#sessions += 1;
    this.#session = `test-session-${String(this.#sessions).padStart(10, '0')}`;
    this.#kept = [];
    this.#acked = this.#count = 0;
  }

  #receive(frame: Frame): void {
    const { event, payload } = frame;
    if (event === '$ack') this.#forgetAcknowledged(payload as number);
    else if (event === '$sync') this.ack();
    else if (event === '$ping') this.#write({ event: '$pong', payload });
    else if (event === '$cancel') this.cancelled.push((payload as { id: string }).id);
    if (event?.startsWith('$')) return;
    if (!frame.volatile) this.#count += 1;
    this.received.push(frame);
    const index = this.#waiting.findIndex((waiting) => waiting.event === undefined || waiting.event === event);
    if (index >= 0) {
      this.#taken.add(frame);
      this.#waiting.splice(index, 1)[0]!.resolve(frame);
    }
    if (!frame.volatile && this.#options.acks !== false) this.ack();
  }

  #forgetAcknowledged(upTo: number): void {
    this.#kept.splice(0, upTo - this.#acked);
    this.#acked = Math.max(this.#acked, upTo);
  }

  #closed(socket: FakeSocket, code: number): void {
    if (socket === this.#dialling) this.#dialling = undefined;
    if (socket !== this.#socket) return;
    this.#socket = undefined;
    if (code === 1000 || code === 1005) this.#session = '';
  }

  #write(frame: Frame): void { this.#socket?.deliver(this.#codec.encode(frame)); }
}

interface Handlers {
  message(socket: FakeSocket, data: string | Uint8Array): void;
  closed(socket: FakeSocket, code: number): void;
}

/** One end of a connection in memory, with the members of a `WebSocket`. Events are dispatched in microtasks, in order. */
class FakeSocket implements Socket {
  readyState = 0;
  protocol = '';
  bufferedAmount = 0;
  binaryType = 'blob';
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  #handlers: Handlers;

  constructor(readonly url: string, readonly offers: string[], handlers: Handlers) {
    this.#handlers = handlers;
  }

  send(data: string | Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== 1) return;
    const copy = typeof data === 'string' ? data : data.slice();
    queueMicrotask(() => this.#handlers.message(this, copy));
  }

  close(code = 1005, reason = ''): void {
    if (this.readyState > 1) return;
    this.readyState = 2;
    queueMicrotask(() => {
      this.#handlers.closed(this, code);
      this.#end(code, reason);
    });
  }

  // ---- the server's side

  open(protocol: string): void {
    this.protocol = protocol;
    this.readyState = 1;
    queueMicrotask(() => this.onopen?.({}));
  }

  deliver(data: string | Uint8Array<ArrayBuffer>): void {
    const message = typeof data === 'string' ? data : data.slice().buffer;
    queueMicrotask(() => { if (this.readyState === 1) this.onmessage?.({ data: message }); });
  }

  end(code: number, reason: string): void {
    queueMicrotask(() => this.#end(code, reason));
  }

  #end(code: number, reason: string): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.onclose?.({ code, reason, wasClean: code !== 1006 });
  }
}
