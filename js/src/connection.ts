import { createAsks } from './asks.js';
import { createChannel } from './channel.js';
import { json, type Frame } from './codec.js';
import { createCredentials } from './credentials.js';
import { createEmitter } from './emitter.js';
import { byteLength, isCount, isFlag, isText } from './guards.js';
import { createJournal } from './journal.js';
import { createShelf } from './keep.js';
import { createLink } from './link.js';
import { Lost } from './lost.js';
import { createOutbox } from './outbox.js';
import { SentFrame, withResolvers, type Resolvers } from './sent.js';
import { createSession } from './session.js';
import type { AnyAsks, AnyEvents, Connection, FramesOptions, Message, Options, SendOptions, SocketClass, Status } from './types.js';

/** Bytes that wait in a socket. Beyond them it takes no volatile frame (R12.5): the frame would be stale when it leaves. */
const VOLATILE_LIMIT = 65_536;
const READER_LIMIT = 64;
/** How long `await using` waits for acknowledgements. */
const DRAIN_TIMEOUT = 5000;
/** How often `ready` looks at the bytes in the socket, whose departure no event reports. */
const UNSENT_CHECK = 50;

// A lone surrogate has no encoding in UTF-8: the server would close the connection (R2.10).
const HALF_CHARACTER = /\p{Surrogate}/u;

/**
 * Connects to a server in session mode, and returns at once: frames may be sent from now on.
 *
 * Throws a `RangeError` for an option out of its range, a `TypeError` for a URL that is none or where there is no `WebSocket`.
 *
 * @param url `ws:`, `wss:`, `http:` or `https:`, or relative to the page. It must identify the same client and room for the whole
 *   session (R5.6). Credentials do not belong into it: see the option `token`.
 */
export function connect<In extends object = AnyEvents, Out extends object = AnyEvents, Questions extends object = AnyAsks>(
  url: string | URL, options: Options = {},
): Connection<In, Out, Questions> {
  const { buffer = 256, bufferBytes = 1 << 20, codec = json, token, keep, log } = options;
  checkBound('buffer', buffer);
  checkBound('bufferBytes', bufferBytes);
  const socketClass = options.WebSocket ?? (typeof WebSocket === 'undefined' ? undefined : WebSocket);
  if (!socketClass) throw new TypeError('no WebSocket here: pass that of the package `ws` as an option');
  const href = new URL(url, typeof location === 'undefined' ? undefined : location.href).href.replace(/^http/, 'ws');
  const watchers = new Set<[(status: Status) => void]>();
  let waiting: Resolvers<void>[] = [];
  let isNotifying = false;
  let last: Status | undefined;

  /** The same object until something changes. */
  const snapshot = (): Status => {
    const now: Status = {
      state: link._state, attempt: link._attempt, retryAt: link._retryAt, session: machine._session, pending: outbox._kept.length, since: link._since,
    };
    if (!last || Object.entries(now).some(([name, value]) => value !== last![name as keyof Status])) last = now;
    return last;
  };

  /** Tells those who wait for capacity at once, and those who watch in a microtask: once for many changes. */
  const changed = () => {
    checkReady();
    if (isNotifying || !watchers.size) return;
    isNotifying = true;
    const before = last;
    queueMicrotask(() => {
      isNotifying = false;
      const status = snapshot();
      if (status !== before) for (const [watcher] of [...watchers]) watcher(status);
    });
  };

  const isClosed = () => link._state === 'closed';

  const checkReady = () => {
    if (!waiting.length) return;
    const { _session: session } = machine;
    if (!isClosed() && !outbox._isHalfEmpty(link._unsent(), session)) {
      if (outbox._isHalfEmpty(0, session)) setTimeout(checkReady, UNSENT_CHECK);
      return;
    }
    const all = waiting;
    waiting = [];
    for (const { resolve, reject } of all) {
      if (isClosed()) reject(new Lost('closed'));
      else resolve();
    }
  };

  const ready = () => {
    const own = withResolvers<void>();
    waiting.push(own);
    checkReady();
    if (waiting.length) machine._sync(); // R4.25
    return own.promise;
  };

  const send = (event: string, payload?: unknown, { ttl, volatile, latest, re, more, id }: SendOptions = {}): SentFrame => {
    if (!isText(id) || !isText(event) || !isText(re) || !isFlag(more) || !isFlag(volatile)) {
      throw new TypeError('event, id and re must be strings, more and volatile booleans');
    }
    if (HALF_CHARACTER.test(`${id}${event}${re}`)) throw new TypeError('event, id and re must not contain lone surrogates');
    //= PROTOCOL.md#R3.3: MUST refuse to send such an event for its application
    if (event?.[0] === '$') throw new TypeError(`events that begin with $ belong to the protocol: ${event}`);
    const frame: Frame = { id, event, payload, re, more, volatile };
    const data = codec.encode(frame); // first, because `toJSON` of a payload may send or close
    const size = byteLength(data);
    const sent = new SentFrame(frame, data, size);
    const { _session: session } = machine;
    const limit = session?.maxMessage ?? Infinity;
    if (isClosed()) return sent._lose('closed');
    //= PROTOCOL.md#R3.14: MUST refuse a `send` of more than `max_message` bytes
    if (size > limit) return sent._lose('too big', limit);
    if (volatile) {
      const isWritten = link._state === 'open' && link._unsent() < VOLATILE_LIMIT && link._transmit(data);
      return sent._become(isWritten ? 'sent' : 'lost', new Lost('volatile'));
    }
    if (latest) {
      const name = sent._latest = latest === true ? event : latest;
      outbox._remove(({ _latest }) => _latest === name, 'replaced');
    }
    if (outbox._fits(size, session)) {
      outbox._add(sent);
      machine._writeNew(sent);
      if (ttl !== undefined && sent.state === 'queued') {
        sent._deadline = Date.now() + ttl;
        sent._timer = setTimeout(machine._expire, ttl);
      }
    } else {
      machine._sync();
      sent._lose('full');
    }
    changed();
    return sent;
  };

  const journal = createJournal(log);
  const emitter = createEmitter();
  const shelf = createShelf(keep, href, codec.name, journal);
  const outbox = createOutbox(buffer, bufferBytes, shelf);
  const asks = createAsks({
    _send: send,
    _cancel(id, sent) {
      if (!outbox._remove((other) => other === sent, 'cancelled').length) machine._control('$cancel', { id });
      changed();
    },
    _ready: ready,
    _hears: (event) => emitter._hears(event) || emitter._hears('*'),
    _setReader: (reader, isReading) => machine._setReader(reader, isReading),
    _drain: () => machine._drain(),
  });
  const machine = createSession(codec, outbox, shelf, asks, emitter, journal, changed);
  const link = createLink(href, socketClass as SocketClass, options, createCredentials(token), journal, machine._host);

  const connection = {
    get session() { return machine._session; },
    get status() { return snapshot(); },
    on: emitter._on,
    send,
    ask: asks._ask,
    answers: asks._answers,
    onAsk: asks._handle,
    ready,
    retry: link._start,
    suspend: link._suspend,
    close: link._close,
    cut: link._cut,
    explain: () => [...journal._entries],

    watch(listener: (status: Status) => void) {
      const own: [typeof listener] = [listener]; // the same function may watch twice
      watchers.add(own);
      return () => { watchers.delete(own); };
    },

    frames({ signal, limit = READER_LIMIT }: FramesOptions = {}) {
      const leave = () => {
        for (const off of offs) off();
        machine._setReader(channel, false);
      };
      const end = () => {
        leave();
        channel._end();
      };
      const channel = createChannel<Message>(limit, machine._drain, leave);
      const offs = [
        emitter._on('*', channel._push),
        emitter._on('$closed', end),
        () => signal?.removeEventListener('abort', end),
      ];
      machine._setReader(channel, true);
      signal?.addEventListener('abort', end);
      if (signal?.aborted || isClosed()) end();
      return channel;
    },

    async [Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose')]() { // younger than some runtimes
      machine._sync();
      const timer = withResolvers<void>();
      const patience = setTimeout(timer.resolve, DRAIN_TIMEOUT);
      await Promise.race([timer.promise, Promise.allSettled(outbox._kept.map(({ acked }) => acked))]);
      clearTimeout(patience);
      link._close();
    },
  };
  machine._begin(link);
  return connection as unknown as Connection<In, Out, Questions>;
}

function checkBound(name: string, value: number): void {
  if (!isCount(value) || value < 1) throw new RangeError(`invalid ${name}: ${value} (expected 1 or more)`);
}
