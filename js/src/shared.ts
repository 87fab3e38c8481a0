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
* One tab, the leader, has the socket: the one that holds a Web Lock. It forwards everything over a `BroadcastChannel`, with the state of
 * the session and the frames that the server has not acknowledged, before the server learns of them. When the leader is closed or killed,
 * the browser gives the lock to the next tab, which resumes the session: nothing is lost or repeated.
 *
 * Each tab has the whole interface of {@link Connection}, with these differences because all tabs share one socket:
 *
 * | | in a shared connection |
 * |---|---|
 * | `suspend`, `retry`, `cut` | act on the socket of all tabs |
 * | `close` | takes this tab out. The last one ends the session |
 * | `onAsk` | the handlers of the leader answer: call it in every tab |
 * | `frames` | a reader that lags behind does not make the server wait, which would make the other tabs wait as well |
 * | `explain` | lists the transitions of the socket in the leader, and is empty in the other tabs |
 *
 * Without `navigator.locks` (pages over plain HTTP) each tab has its own connection, and the option `log` gets a note.
 *
 * @module
 */
import {
  Lost, connect as connectAlone, json, parts,
  type AnyAsks, type AnyEvents, type Connection, type FramesOptions, type LostReason, type Message, type Options, type SendOptions, type Sent,
  type SocketClass, type Status,
} from './index.js';
import type { SentFrame } from './sent.js';

const [createAsks, createChannel, createEmitter, createFrame, readFrames, settled, asyncDispose] = parts;

/** The connection of all tabs, as one of them sees it. */
export type SharedConnection<In extends object = AnyEvents, Out extends object = AnyEvents, Asks extends object = AnyAsks> = Connection<In, Out, Asks>;

/** Options of `connect`, but for `keep` and `hidden`: the other tabs keep the session, and may be visible. */
export type SharedOptions = Omit<Options, 'keep' | 'hidden'>;

/** Whose frame it is: the tab, and the frame's place among its frames, from 1. */
type Origin = [tab: string, place: number];
/** What became of a frame. */
type Fate = [...Origin, state: Sent['state'], number: number, reason: LostReason | undefined, limit: number | undefined];

/** What all tabs know, so that each can become the leader. */
interface State {
  /** The core's saved state: the session, and the unacknowledged frames with their origins. */
  kept: Map<string, [value: string, origin: Origin | undefined]>;
  /** How many frames of each tab the leader has accepted. */
  accepted: Map<string, number>;
  /** The number of the last frame that all tabs have got. After a hand-over, some frames come again. */
  delivered: number;
  /** Whether a tab has called `suspend`. */
  isSuspended: boolean;
  status: Status;
}

const EVENTS = ['$open', '$restored', '$dropped', '$waiting', '$gap', '$lost', '$closed', '$sent', '$acked', '$refused'] as const;

/** Connects, together with all other tabs of this origin that call it with the same URL. */
export function connect<In extends object = AnyEvents, Out extends object = AnyEvents, Asks extends object = AnyAsks>(
  url: string | URL, options: SharedOptions = {},
): SharedConnection<In, Out, Asks> {
  const locks = globalThis.navigator?.locks;
  if (!locks) {
    options.log?.({ at: Date.now(), what: 'shared', detail: 'no Web Locks: each tab has a connection of its own' });
    return connectAlone(url, options);
  }
  const name = `rejoin:${new URL(url, location.href)}`;
  const { codec = json, buffer = 256 } = options;
  const channel = new BroadcastChannel(name);
  const me = Math.random().toString(36).slice(2);
  const emitter = createEmitter();
  /** Our frames whose fate is not known yet, by their places. */
  const sends = new Map<number, [SentFrame, SendOptions]>();
  const leaving = new AbortController();
  let state: State = {
    kept: new Map(), accepted: new Map(), delivered: 0, isSuspended: false,
    status: { state: 'connecting', attempt: 0, retryAt: undefined, session: undefined, pending: 0, since: Date.now() },
  };
  /** The connection, in the leader. */
  let inner: Connection<any, any, any> & { _cancel(id: string): void } | undefined;
  let places = 0;
  /** Calls to send to the other tabs. */
  let changes: Call[] = [];
  let unlock = () => {};
  /** Whether this tab does not know the state yet. */
  let isNew = true;
  /** Whether `close` was called, and reported. */
  let isGone = false;

  const emit = (event: string, detail: unknown) => { if (!isGone) emitter._emit([event, detail]); };

  // ---- messages between tabs: each is a list of calls of these functions

  const heard = {
    // From the leader, which calls them as well, in the order in which things happen:

    set(key: string, value: string, origin: Origin | undefined) { state.kept.set(key, [value, origin]); },
    delete(key: string) { state.kept.delete(key); },
    accepted(tab: string, place: number) { state.accepted.set(tab, place); },
    suspended(isSuspended: boolean) { state.isSuspended = isSuspended; },
    status(status: Status) {
      if (isGone) return;
      state.status = status;
      emit('$status', status);
    },
    fate(tab: string, place: number, is: Sent['state'], number: number, reason: LostReason | undefined, limit: number | undefined): Sent | undefined {
      const [sent, { volatile }] = (tab === me && sends.get(place)) || [undefined, {}] as const;
      if (!sent) return undefined;
      sent.number = number;
      sent._become(is, reason && new Lost(reason, sent.size, limit));
      if (reason || is === 'acked' || volatile) {
        sends.delete(place);
        emit('$settled', sent);
      }
      return sent;
    },
    frame(number: number | undefined, data: string | Uint8Array) {
      if (number) {
        if (number <= state.delivered) return;
        state.delivered = number;
      }
      if (!data) return; // a question that the leader answers
      const message = { event: '', ...codec.decode(data), number } as Message;
      const { re, event } = message;
      if (!re || !asks._handleAnswer(message)) emit(re ? '$answer' : event, message);
    },
    event(event: string, detail: any, fates?: Fate[]) {
      if (event === '$open') state.delivered = 0;
      if (event === '$gap') state.delivered = Math.max(state.delivered, detail.to);
      const sends = fates?.map((fate) => heard.fate(...fate)).filter((sent) => sent);
      if (event === '$lost' || event === '$closed') asks._end(event === '$lost' ? 'session ended' : 'closed');
      emit(event, { ...detail, ...sends && { sends } });
    },

    // From a tab that has become the leader, or may do so

    leader() {
      if (isNew) post(['hello', me]);
      resend();
    },
    elected(tab: string) { if (tab === me && !leaving.signal.aborted) lead(); },
    state(tab: string, given: State) {
      if (tab !== me || inner) return;
      state = given;
      isNew = false;
      heard.status(state.status);
      resend();
    },

    // To the leader

    hello(tab: string) {
      if (!inner) return;
      flush();
      post(['state', tab, state]);
    },
    send(tab: string, place: number, data: string | Uint8Array, options: SendOptions) {
      // In order: after a hand-over, a tab's newest frame may come before those that the last leader did not accept.
      if (!inner || place !== (state.accepted.get(tab) ?? 0) + 1) return;
      change('accepted', tab, place);
      sender = [tab, place];
      const { event, payload, ...members } = codec.decode(data);
      const sent = inner.send(event!, payload, { ...options, ...members } as SendOptions);
      owners.set(sent, sender);
      sender = undefined;
      change('fate', ...fateOf(sent));
      sent.acked.catch(() => change('fate', ...fateOf(sent))); // no event reports that a frame has expired or was replaced
    },
    cancel(id: string) { inner?._cancel(id); },
    ready() { inner?.ready().catch(() => {}); }, // asks the server for an acknowledgement
    call(method: 'retry' | 'suspend' | 'cut', ms?: number) {
      if (!inner) return;
      change('suspended', method === 'suspend');
      inner[method](ms);
    },
  };
  type Heard = typeof heard;
  type Call = { [K in keyof Heard]: [what: K, ...Parameters<Heard[K]>] }[keyof Heard];

  const apply = ([what, ...parameters]: Call) => (heard[what] as (...all: any[]) => void)(...parameters);
  const post = (...calls: Call[]) => channel.postMessage(calls);
  /** To the leader, which may be this tab. A message to a leader that is gone is lost. */
  const ask = (...call: Call) => (inner ? apply(call) : post(call));

  /** Sends the changes since the last call to the other tabs. */
  const flush = () => {
    if (changes.length) post(...changes);
    changes = [];
  };
  const change = (...call: Call) => {
    if (!changes.length) queueMicrotask(flush);
    changes.push(call);
    apply(call);
  };

  // ---- the leader

  /** The frame that the core is accepting. */
  let sender: Origin | undefined;
  const owners = new Map<Sent, Origin>();
  /** The frames that the last leader has left, by their numbers. */
  const inherited = new Map<number, Origin>();

  const fateOf = (sent: Sent): Fate => {
    const origin = owners.get(sent) ?? inherited.get(sent.number) ?? ['', 0];
    if (sent.error || sent.state === 'acked') owners.delete(sent);
    return [...origin, sent.state, sent.number, sent.error?.reason, sent.error?.limit];
  };
  /** The origin of a frame that is kept under this key. Earlier frames may have been removed, so its number may be new. */
  const originOf = (key: string): Origin | undefined => {
    const number = numberOf(key);
    for (const [sent, origin] of owners) if (sent.number === number && !sent.error) return origin;
    return sender;
  };

  // The process may be killed between two steps of one task: posted messages are safe once a later message has returned.
  let unmarked: (() => void)[] = [];
  const marked: (() => void)[][] = [];
  const marks = new BroadcastChannel(`${name}#${me}`);
  const echoes = new BroadcastChannel(`${name}#${me}`);
  echoes.onmessage = () => marked.shift()?.forEach((write) => write());
  const mark = () => {
    flush();
    marked.push(unmarked);
    unmarked = [];
    marks.postMessage(0);
  };

  const lead = () => {
    isNew = false;
    let acked = 0;
    const Base = (options.WebSocket ?? globalThis.WebSocket) as SocketClass;
    for (const [key, [value, origin]] of state.kept) {
      if (origin) inherited.set(numberOf(key), origin);
      else acked = JSON.parse(value).acked;
    }
    // The last leader may not have reported that these were acknowledged.
    for (const [number, origin] of inherited) if (number <= acked) change('fate', ...origin, 'acked', number, undefined, undefined);
    inner = connectAlone<any, any, any>(url, {
      ...options,
      // A frame that the server has, and an acknowledgement that it gets, must be known to the next leader: the other tabs come first.
      WebSocket: class extends Base {
        constructor(url: string, offers: string[]) {
          flush();
          super(url, offers);
        }
        override send(data: string | Uint8Array<ArrayBuffer>) {
          if (!unmarked.length) queueMicrotask(mark);
          unmarked.push(() => super.send(data));
        }
        override close(code?: number, reason?: string) {
          flush();
          for (const writes of [...marked, unmarked]) for (const write of writes.splice(0)) write();
          super.close(code, reason);
        }
      },
      keep: {
        get: (key) => state.kept.get(key)?.[0],
        set: (key, value) => change('set', key, value, /#\d+$/.test(key) ? originOf(key) : undefined),
        delete: (key) => change('delete', key),
      },
    }) as typeof inner;
    if (state.isSuspended) inner!.suspend();
    for (const event of EVENTS) {
      inner!.on(event, ({ sends, ...detail }: any) => change('event', event, detail, sends?.map(fateOf)));
    }
    for (const event of ['*', '$answer'] as const) {
      inner!.on(event as '*', (message: Message) => {
        const { number = Infinity } = message;
        const isTaken = number > state.delivered && asks._handleQuestion(message);
        change('frame', message.number, isTaken ? '' : codec.encode(message));
      });
    }
    inner!.watch((status) => change('status', { ...status }));
    change('status', { ...inner!.status });
    post(['leader']);
    resend();
  };

  locks.request(name, leaving, () => new Promise<void>((resolve) => {
    unlock = resolve;
    // The last leader's messages may still be on their way. A message that goes the same way arrives after them.
    const echo = new BroadcastChannel(name);
    echo.postMessage([['elected', me]] satisfies Call[]);
    echo.close();
  })).catch(() => {}); // this tab has left before it became the leader

  // ---- this tab

  const isClosed = () => leaving.signal.aborted || state.status.state === 'closed';

  const deliver = (place: number, [sent, options]: [SentFrame, SendOptions]) => ask('send', me, place, sent._data, options);
  /** Sends what no leader has accepted. */
  const resend = () => {
    for (const [place, send] of sends) if (place > (state.accepted.get(me) ?? 0)) deliver(place, send);
  };

  const send = (event: string, payload?: unknown, options: SendOptions = {}): SentFrame => {
    const sent = createFrame(codec, event, payload, options);
    if (isClosed()) return sent._lose('closed');
    const { ttl, latest, volatile } = options;
    const send: [SentFrame, SendOptions] = [sent, { ttl, latest, volatile } as SendOptions];
    sends.set(places += 1, send);
    deliver(places, send);
    return sent;
  };

  const isBusy = () => 2 * Math.max(sends.size, state.status.pending) > Math.min(buffer, state.status.session?.buffer ?? buffer);
  const ready = async () => {
    while (!isClosed() && isBusy()) {
      ask('ready');
      await new Promise<void>((resolve) => {
        const offs = ['$settled', '$status'].map((event) => emitter._on(event, () => {
          for (const off of offs) off();
          resolve();
        }));
      });
    }
    if (isClosed()) throw new Lost('closed');
  };

  // Nobody waits for a reader: the server would wait for the slowest of all tabs.
  const open = <T>(limit: number, left: () => void) => createChannel<T>(limit, new Set(), () => {}, left);

  const asks = createAsks({
    _send: send,
    _cancel: (id) => ask('cancel', id),
    _ready: ready,
    _hears: (event) => emitter._hears(event) || emitter._hears('*'),
    _channel: open,
  });

  /** Lets go of the lock, so that the next tab resumes the session. The last tab ends it. */
  const leave = async () => {
    if (leaving.signal.aborted) return;
    leaving.abort();
    heard.event('$closed', { code: 1000, reason: '' }, [...sends.keys()].map((place) => [me, place, 'lost', 0, 'closed', undefined]));
    heard.status({ ...state.status, state: 'closed' });
    isGone = true;
    if (inner) {
      const { pending } = await locks.query();
      if (pending?.some((request) => request.name === name)) inner.suspend();
      else inner.close();
      flush();
      inner = undefined;
      unlock();
    }
    for (const each of [channel, marks, echoes]) each.close();
  };

  channel.onmessage = ({ data }: { data: Call[] }) => data.forEach(apply);
  post(['hello', me]);

  return {
    get status() { return state.status; },
    get session() { return state.status.session; },
    on: emitter._on,
    send,
    ask: asks._ask,
    answers: asks._answers,
    onAsk: asks._handle,
    ready,
    watch: (listener: (status: Status) => void) => emitter._on('$status', listener),
    frames: (options?: FramesOptions) => readFrames(emitter, open, isClosed, options),
    retry: () => ask('call', 'retry'),
    suspend: () => ask('call', 'suspend'),
    cut: (ms?: number) => ask('call', 'cut', ms),
    explain: () => inner?.explain() ?? [],
    close: () => void leave(),
    async [asyncDispose]() {
      await settled([...sends.values()].map(([sent]) => sent));
      await leave();
    },
  } as unknown as SharedConnection<In, Out, Asks>;
}

const numberOf = (key: string) => Number(key.slice(key.lastIndexOf('#') + 1));
