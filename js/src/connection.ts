import { createAsks } from './asks.js';
import { readFrames } from './channel.js';
import { json } from './codec.js';
import { createCredentials } from './credentials.js';
import { createEmitter } from './emitter.js';
import { isCount } from './guards.js';
import { createJournal } from './journal.js';
import { createShelf } from './keep.js';
import { createLink } from './link.js';
import { Lost } from './lost.js';
import { createOutbox } from './outbox.js';
import { asyncDispose, createFrame, settled, withResolvers, type Resolvers, type SentFrame } from './sent.js';
import { createSession } from './session.js';
import type { AnyAsks, AnyEvents, Connection, FramesOptions, Options, SendOptions, SocketClass, Status } from './types.js';

/** Bytes that wait in a socket. Beyond them it takes no volatile frame (R12.5): the frame would be stale when it leaves. */
const VOLATILE_LIMIT = 65_536;
/** How often `ready` checks the bytes in the socket, because no event reports that they were sent. */
const UNSENT_CHECK = 50;

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
  for (const [name, value] of Object.entries({ buffer, bufferBytes })) {
    if (!isCount(value) || value < 1) throw new RangeError(`invalid ${name}: ${value}`);
  }
  const { WebSocket = globalThis.WebSocket } = options;
  if (!WebSocket) throw new TypeError('no WebSocket: pass that of the package `ws`');
  const href = new URL(url, globalThis.location?.href).href.replace(/^http/, 'ws');
  const watchers = new Set<[(status: Status) => void]>();
  /** For capacity. */
  let waiting: Resolvers<void> | undefined;
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
    if (!waiting) return;
    const { _session: session } = machine;
    if (!isClosed() && !outbox._isHalfEmpty(link._unsent(), session)) {
      if (outbox._isHalfEmpty(0, session)) setTimeout(checkReady, UNSENT_CHECK);
      return;
    }
    const { resolve, reject } = waiting;
    waiting = undefined;
    if (isClosed()) reject(new Lost('closed'));
    else resolve();
  };

  const ready = () => {
    const { promise } = waiting ??= withResolvers();
    checkReady();
    if (waiting) machine._sync(); // R4.25
    return promise;
  };

  const send = (event: string, payload?: unknown, options: SendOptions = {}): SentFrame => {
    const sent = createFrame(codec, event, payload, options);
    const { ttl, volatile, latest } = options;
    const { size } = sent;
    const { _session: session } = machine;
    const limit = session?.maxMessage ?? Infinity;
    if (isClosed()) return sent._lose('closed');
    //= PROTOCOL.md#R3.14: MUST refuse a `send` of more than `max_message` bytes
    if (size > limit) return sent._lose('too big', limit);
    if (volatile) {
      const isWritten = link._state === 'open' && link._unsent() < VOLATILE_LIMIT && link._transmit(sent._data);
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
  /** R11.7: takes a question back if it is still queued, or sends `$cancel`. */
  const _cancel = (id: string) => {
    if (!outbox._remove(({ frame }) => frame.id === id, 'cancelled').length) machine._control('$cancel', { id });
    changed();
  };
  const asks = createAsks({
    _send: send,
    _cancel,
    _ready: ready,
    _hears: (event) => emitter._hears(event) || emitter._hears('*'),
    _channel: (limit, left) => machine._channel(limit, left),
  });
  const machine = createSession(codec, outbox, shelf, asks, emitter, journal, changed);
  const link = createLink(href, WebSocket as SocketClass, options, createCredentials(token), journal, machine._host);

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
    _cancel, // for `rejoin/shared`

    watch(listener: (status: Status) => void) {
      const own: [typeof listener] = [listener]; // the same function may watch twice
      watchers.add(own);
      return () => { watchers.delete(own); };
    },

    frames: (options?: FramesOptions) => readFrames(emitter, machine._channel, isClosed, options),

    async [asyncDispose]() {
      machine._sync();
      await settled(outbox._kept);
      link._close();
    },
  };
  machine._begin(link);
  return connection as unknown as Connection<In, Out, Questions>;
}
