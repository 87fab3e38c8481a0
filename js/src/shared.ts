/**
 * `rejoin/shared`: one connection for all tabs of a page.
 *
 * ```ts
 * import { connect } from 'rejoin/shared';
 *
 * const room = connect<{ said: string }, { say: string }>('wss://example.org/ws?room=tea');
 * room.on('said', ({ payload }) => console.log(payload)); // in every tab
 * room.send('say', 'hello'); // from any tab
 * ```
 *
 * One tab, the leader, has the socket: the one that holds a Web Lock. It passes everything on by a `BroadcastChannel`, with the state of
 * the session and the frames that the server has not acknowledged, before the server learns of them. When the leader is closed or killed,
 * the browser gives the lock to the next tab, which resumes the session: nothing is lost or repeated.
 *
 * Without `navigator.locks` (pages over plain HTTP) each tab has a connection of its own, and the option `log` is told.
 *
 * @module
 */
import {
  AskError, Lost, connect as connectAlone,
  type AnyAsks, type AnyEvents, type Connection, type LostReason, type Message, type Options, type SendOptions, type Sent, type Status,
} from './index.js';

/** What tabs can share. The members are those of {@link Connection}; `suspend`, `cut`, `onAsk`, `answers`, `frames` have one socket to act on. */
export type SharedConnection<In extends object = AnyEvents, Out extends object = AnyEvents, Asks extends object = AnyAsks> =
  Pick<Connection<In, Out, Asks>, 'on' | 'send' | 'ask' | 'watch' | 'status' | 'retry' | 'close'>;

/** Options of `connect`, but for `keep`: the other tabs keep the session. */
export type SharedOptions = Omit<Options, 'keep'>;

/** What all tabs know, so that each can become the leader. */
interface State {
  /** What the core keeps: the session, and the frames that are not acknowledged. */
  kept: Map<string, string>;
  /** How many frames of each tab the leader has accepted. */
  accepted: Map<string, number>;
  /** Whose frame has which number: the tab, and the frame's place among its frames. */
  origins: Map<number, [tab: string, place: number]>;
  status: Status;
}

/** One change, in the order in which it happened at the leader. */
type Change =
  | ['set', key: string, value: string, origin: [tab: string, place: number] | undefined]
  | ['delete', key: string]
  | ['accepted', tab: string, place: number, lost?: LostReason]
  | ['event', name: string, detail: any]
  | ['status', status: Status];

type Post =
  | { changes: Change[] }
  | { leader: string } // the tab that is the leader from now on
  | { hello: string } // a new tab asks for the state
  | { to: string; state: State }
  | { from: string; place: number; event: string; payload: unknown; options: SendOptions | undefined }
  | { elected: string } // the tab that has got the lock
  | { retry: true };

const EVENTS = ['$open', '$restored', '$dropped', '$waiting', '$gap', '$lost', '$closed', '$acked', '$answer', '*'] as const;
const TIMEOUT = 10_000;

/** Connects, together with all other tabs of this origin that call it with the same URL. */
export function connect<In extends object = AnyEvents, Out extends object = AnyEvents, Asks extends object = AnyAsks>(
  url: string | URL, options: SharedOptions = {},
): SharedConnection<In, Out, Asks> {
  const locks = globalThis.navigator?.locks;
  if (!locks) {
    options.log?.({ at: Date.now(), what: 'shared', detail: 'no Web Locks: each tab has a connection of its own' });
    return connectAlone<In, Out, Asks>(url, options);
  }
  const name = `rejoin:${new URL(url, location.href)}`;
  const channel = new BroadcastChannel(name);
  const me = Math.random().toString(36).slice(2);
  const ends = new AbortController();
  const listeners = new Map<string, Set<(detail: any) => void>>();
  /** Our frames whose fate is not known yet. */
  const sends = new Map<number, Sending>();
  let state: State = {
    kept: new Map(), accepted: new Map(), origins: new Map(),
    status: { state: 'connecting', attempt: 0, retryAt: undefined, session: undefined, pending: 0, since: Date.now() },
  };
  /** The connection, in the leader. */
  let inner: Connection<any, any, any> | undefined;
  let places = 0;
  /** The number of the last frame that this tab has delivered. After a hand-over, some frames come again. */
  let delivered = 0;
  let changes: Change[] = [];
  let unlock = () => {};
  /** Whether this tab does not know the state yet. */
  let isNew = true;

  const post = (message: Post) => channel.postMessage(message);
  const emit = (event: string, detail: unknown) => {
    for (const listener of [...listeners.get(event) ?? []]) {
      try { listener(detail); } catch (error) { queueMicrotask(() => { throw error; }); }
    }
  };
  const settle = (place: number, reason?: LostReason) => {
    sends.get(place)?._settle(reason);
    sends.delete(place);
  };

  const apply = ([what, ...change]: Change) => {
    const [key, value, origin] = change as [string, any, any];
    if (what === 'set') {
      state.kept.set(key, value);
      if (origin) state.origins.set(numberOf(key), origin);
      if (origin?.[0] === me) sends.get(origin[1])?._accepted(numberOf(key));
    } else if (what === 'delete') state.kept.delete(key);
    else if (what === 'accepted') {
      state.accepted.set(key, value);
      if (key === me && origin) settle(value, origin);
    } else if (what === 'status') {
      state.status = change[0] as unknown as Status;
      emit('status', state.status);
    } else happened(key, value);
  };

  const happened = (event: string, detail: any) => {
    if (event === '*' || event === '$answer') {
      const { number = Infinity, event: name } = detail as Message;
      if (number <= delivered) return;
      if (number < Infinity) delivered = number;
      if (event === '*') emit(name, detail);
    } else if (event === '$gap') delivered = Math.max(delivered, detail.to);
    else if (event === '$open') delivered = 0;
    const isEnd = event === '$lost' || event === '$closed';
    if (isEnd || event === '$acked') {
      for (const [number, [tab, place]] of state.origins) {
        if (!isEnd && number > detail.upTo) continue;
        state.origins.delete(number);
        if (tab === me) settle(place, isEnd ? 'session ended' : undefined);
      }
    }
    emit(event, detail);
  };

  /** Tells the other tabs what has happened since the last call. */
  const flush = () => {
    if (changes.length) post({ changes });
    changes = [];
  };
  const change = (...all: Change) => {
    if (!changes.length) queueMicrotask(flush);
    changes.push(all);
    apply(all);
  };

  /** The tab whose frame the core is accepting. */
  let sender: [tab: string, place: number] | undefined;
  const accept = (tab: string, place: number, event: string, payload: unknown, options: SendOptions | undefined) => {
    // In order: after a hand-over, a tab's newest frame may come before those that the last leader did not accept.
    if (!inner || place !== (state.accepted.get(tab) ?? 0) + 1) return;
    // These two travel in one message, which leaves before the frame does: see `set` below.
    sender = [tab, place];
    change('accepted', tab, place);
    const sent = inner.send(event, payload, options);
    sender = undefined;
    if (sent.error || options?.volatile) change('accepted', tab, place, sent.error?.reason ?? 'volatile');
  };

  const lead = () => {
    isNew = false;
    const room = inner = connectAlone<any, any, any>(url, {
      ...options,
      keep: {
        get: (key) => state.kept.get(key),
        // At once: a frame that the server has, and an acknowledgement that it gets, must be known to the next leader.
        set: (key, value) => { change('set', key, value, sender); flush(); },
        delete: (key) => change('delete', key),
      },
    });
    for (const event of EVENTS) {
      room.on(event as '*', (detail: any) => {
        const { sends: _, ...rest } = detail;
        change('event', event, { ...rest, ...'sends' in detail && { sends: [] } });
      });
    }
    room.watch((status) => change('status', { ...status }));
    change('status', { ...room.status });
    post({ leader: me });
    resend();
  };
  /** Sends what no leader has accepted. */
  const resend = () => {
    for (const [place, { frame: { event, payload }, _options: options }] of sends) {
      if (place <= (state.accepted.get(me) ?? 0)) continue;
      if (inner) accept(me, place, event!, payload, options);
      else post({ from: me, place, event: event!, payload, options });
    }
  };

  channel.onmessage = ({ data }: { data: Post }) => {
    if ('changes' in data) data.changes.forEach(apply);
    else if ('leader' in data) {
      if (isNew) post({ hello: me });
      resend();
    }
    else if ('elected' in data) {
      if (data.elected === me && !ends.signal.aborted) lead();
    } else if ('from' in data) accept(data.from, data.place, data.event, data.payload, data.options);
    else if ('to' in data) {
      if (data.to !== me || inner) return;
      state = data.state;
      isNew = false;
      // What the others got before is not ours.
      delivered = Math.max(delivered, ...[...state.kept.values()].map(receivedOf));
      emit('status', state.status);
      resend();
    } else if (!inner) return;
    else if ('hello' in data) {
      flush();
      post({ to: data.hello, state });
    } else inner.retry();
  };
  locks.request(name, { signal: ends.signal }, () => new Promise<void>((resolve) => {
    unlock = resolve;
    // What the last leader has posted may still be on its way. A message that goes the same way arrives after it.
    const echo = new BroadcastChannel(name);
    echo.postMessage({ elected: me } satisfies Post);
    echo.close();
  })).catch(() => {}); // closed before it became the leader
  post({ hello: me });

  const on = (event: string, listener: (detail: any) => void) => {
    const own = (detail: any) => listener(detail);
    const all = listeners.get(event) ?? new Set();
    listeners.set(event, all.add(own));
    return () => { all.delete(own); };
  };

  const shared = {
    get status() { return state.status; },
    on,
    watch: (listener: (status: Status) => void) => on('status', listener),
    send(event: string, payload?: unknown, options?: SendOptions): Sent {
      const sent = new Sending(event, payload, options);
      if (ends.signal.aborted) sent._settle('closed');
      else {
        const place = places += 1;
        sends.set(place, sent);
        if (inner) accept(me, place, event, payload, options);
        else post({ from: me, place, event, payload, options });
      }
      return sent;
    },
    ask: (event: string, payload?: unknown, { timeout = TIMEOUT, signal }: { timeout?: number; signal?: AbortSignal } = {}) => new Promise((resolve, reject) => {
      const id = `${me}-${places}`;
      const end = (settle: () => void) => {
        clearTimeout(timer);
        offs.forEach((off) => off());
        settle();
      };
      const timer = timeout === Infinity ? undefined : setTimeout(() => end(() => reject(new AskError('timeout'))), timeout);
      const offs = [on('$answer', ({ re, event, payload }: Message) => {
        if (re !== id) return;
        if (event !== 'error') return end(() => resolve(payload));
        const { code, message } = payload as { code: string; message: string };
        end(() => reject(new AskError(code, message)));
      })];
      signal?.addEventListener('abort', () => end(() => reject(signal.reason)), { once: true });
      shared.send(event, payload, { id }).acked.catch((error) => end(() => reject(error)));
    }),
    retry() {
      if (inner) inner.retry();
      else post({ retry: true });
    },
    async close() {
      if (ends.signal.aborted) return;
      ends.abort();
      for (const place of [...sends.keys()]) settle(place, 'closed');
      if (inner) {
        // The last tab ends the session. Otherwise the next leader resumes it.
        const { pending } = await locks.query();
        if (pending?.some((request) => request.name === name)) inner.suspend();
        else inner.close();
        flush();
        inner = undefined;
        unlock();
      }
      channel.close();
    },
  };
  return shared as unknown as SharedConnection<In, Out, Asks>;
}

const numberOf = (key: string) => Number(key.slice(key.lastIndexOf('#') + 1));

/** The count of received frames in what the core keeps about a session. */
function receivedOf(value: string): number {
  try { return JSON.parse(value).received || 0; } catch { return 0; }
}

/** A frame of this tab, whose fate the leader tells. */
class Sending implements Sent {
  state: Sent['state'] = 'queued';
  number = 0;
  readonly size = 0;
  readonly frame: Sent['frame'];
  error: Lost | undefined;
  readonly acked: Promise<void>;
  #resolve!: () => void;
  #reject!: (error: Lost) => void;

  constructor(event: string, payload: unknown, readonly _options: SendOptions | undefined) {
    this.frame = { id: _options?.id, event, payload };
    this.acked = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.acked.catch(() => {});
  }

  _accepted(number: number): void {
    this.number = number;
    this.state = 'sent';
  }

  _settle(reason?: LostReason): void {
    if (reason) {
      this.state = 'lost';
      this.#reject(this.error = new Lost(reason));
    } else {
      this.state = 'acked';
      this.#resolve();
    }
  }
}
