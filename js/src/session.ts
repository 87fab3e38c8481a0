import type { Asks } from './asks.js';
import { createChannel, type Channel } from './channel.js';
import { compact, isFrame, type Codec, type Frame } from './codec.js';
import type { Emitted, Emitter } from './emitter.js';
import { byteLength, isCount, isOpen, type Open } from './guards.js';
import type { Journal } from './journal.js';
import type { Shelf } from './keep.js';
import type { Link, LinkHost } from './link.js';
import type { Outbox } from './outbox.js';
import { createReceipts } from './receipts.js';
import { SentFrame } from './sent.js';
import type { Lifecycle, Message, Session } from './types.js';

type Event = { [E in keyof Lifecycle]: readonly [E, Lifecycle[E]] }[keyof Lifecycle];

export type SessionMachine = ReturnType<typeof createSession>;

/**
 * The session, across all its sockets: sent and received frames, and their acknowledgements (PROTOCOL.md §4, §5).
 *
 * @param changed is called when the state that an application can observe has changed
 */
export function createSession(
  codec: Codec, outbox: Outbox, shelf: Shelf, asks: Asks, emitter: Emitter, journal: Journal, changed: () => void,
) {
  let link!: Link;
  /** While one of them is full, data frames wait in the inbox, uncounted, so that the server waits too (R4.29). */
  const readers = new Set<Channel<any>>();
  let inbox: [frame: Frame, size: number][] = [];
  /** Whether `$sync` was answered while frames waited in the inbox (R4.32). */
  let owesAck = false;
  /** Whether `$sync` was sent and no `$ack` since has acknowledged anything new. */
  let synced = false;

  const save = () => shelf._save(machine._session, receipts._received, outbox._acked);

  const emit = (...events: (Event | false | undefined)[]) => {
    for (const event of events) if (event && event[0] !== '$sent' && event[0] !== '$acked') journal._note(event[0], describe(event[1]));
    changed();
    emitter._emit(...events as Emitted[]);
  };

  /** Forgets the session; both counts start at 0 (R5.12). Returns the unacknowledged frames. */
  const endSession = (reason: 'closed' | 'session ended' = 'session ended') => {
    const ended = outbox._clear();
    for (const sent of ended) sent._lose(reason);
    machine._session = undefined;
    receipts._start(0);
    shelf._end();
    asks._end(reason);
    return ended;
  };

  // ---- receiving

  const isBlocked = () => [...readers].some((reader) => reader._isFull());

  /** R4.29: reads on without counting. The server keeps unacknowledged frames, so a resume repeats the excess. */
  const hold = (frame: Frame, size: number) => {
    if (frame.volatile) return; // R12.4: its application lags behind
    inbox.push([frame, size]);
    if (inbox.length > 2 * machine._session!.buffer) link._cut();
  };

  /** A frame that has a number, or a gap. */
  const handleCounted = (frame: Frame, size: number) => {
    const { event = '', payload, re } = frame;
    if (event === '$gap') {
      if (!handleGap(payload ?? {})) return link._finish(1002, 'malformed $gap');
    } else {
      const message = { event, ...compact(frame) } as { -readonly [M in keyof Message]: Message[M] };
      if (!frame.volatile) receipts._count(message.number = receipts._received + 1, size); // R12.4
      //= PROTOCOL.md#R11.11: MUST count an answer without an asker
      if (!(re ? asks._handleAnswer(message) : asks._handleQuestion(message))) emitter._emit([re ? '$answer' : event, message]);
    }
    if (machine._session && receipts._isDue(machine._session)) report();
  };

  //= PROTOCOL.md#R4.5: `from` MUST be the receiver's count plus 1, and `to` MUST NOT be below `from`
  const handleGap = ({ from, to }: { from?: unknown; to?: unknown }) => {
    if (from !== receipts._received + 1 || !isCount(to) || to < from) return false;
    receipts._count(to, 0);
    emit(['$gap', { from, to }]);
    return true;
  };

  /** Returns false for a malformed frame. An unknown event is ignored (R3.6). */
  const handleControl = ({ event, payload }: Frame): boolean => {
    switch (event) {
      case '$open': return isOpen(payload) && handleOpen(payload);
      case '$ack': return handleAck(payload);
      case '$cancel': asks._handleCancel((payload as any)?.id); break;
      case '$sync':
        owesAck = inbox.length > 0;
        report(true);
        break;
      case '$ping': control('$pong', payload);
    }
    return true;
  };

  const handleOpen = ({ session: token, id, room, resumed, received, lost, ...bounds }: Open): boolean => {
    if (link._protocol() !== `rejoin.v1.${codec.name}` || (resumed && token !== machine._session?.token)) return false;
    //= PROTOCOL.md#R5.13: MUST take the session for lost
    if (resumed && received < outbox._acked) {
      link._abandon();
      return true;
    }
    const ended = !resumed && machine._session && endSession();
    const covered = outbox._cover(received);
    if (!covered) return false;
    const maxMessage = bounds.max_message ?? Infinity;
    //= PROTOCOL.md#R4.10: MUST read a `buffer` or `buffer_bytes` of 0 as 1
    const session = machine._session = withToken({
      id, room, windowMs: bounds.window_ms, buffer: bounds.buffer || 1, bufferBytes: bounds.buffer_bytes ?? 1 << 20, maxMessage,
    }, token);
    void shelf._claim(token);
    link._opened();
    synced = false;
    save();
    machine._expire();
    const refused = resumed ? [] : outbox._remove(({ size }) => size > maxMessage, 'too big', maxMessage);
    const waited = outbox._kept.filter((sent) => sent.state === 'queued');
    //= PROTOCOL.md#R5.10: MUST send the rest again, in order, before anything newer
    outbox._kept.forEach(write);
    syncIfDue();
    emit(
      covered.length > 0 && ['$acked', { upTo: received, sends: covered }],
      ended && ['$lost', { reason: lost ?? 'unknown', sends: ended }],
      [resumed ? '$restored' : '$open', { session }],
      refused.length > 0 && ['$refused', { limit: maxMessage, sends: refused }],
      waited.length > 0 && ['$sent', { sends: waited }],
    );
    return true;
  };

  const handleAck = (upTo: unknown): boolean => {
    const covered = outbox._cover(upTo);
    if (!covered) return false;
    if (covered.length) {
      synced = false;
      save();
    }
    syncIfDue();
    emit(covered.length > 0 && ['$acked', { upTo: upTo as number, sends: covered }]);
    return true;
  };

  // ---- sending

  /** Sends a control frame if there is a session on the socket. */
  const control = (event: string, payload?: unknown) => link._state === 'open' && link._transmit(codec.encode({ event, payload }));

  const write = (sent: SentFrame) => {
    if (link._transmit(sent._data)) outbox._noteWritten(sent);
  };

  const syncIfDue = () => {
    if (outbox._isSyncDue(machine._session!)) machine._sync();
  };

  /** @param asked by `$sync`, which is answered even if there is nothing new */
  const report = (asked?: boolean) => {
    receipts._stopTimer();
    if (link._state !== 'open' || (receipts._reported === receipts._received && !asked)) return;
    save();
    control('$ack', receipts._received);
    receipts._noteReported();
  };
  const receipts = createReceipts(report);

  const host: LinkHost = {
    _hasSession: () => !!machine._session,

    _offers() {
      const session = machine._session;
      //= PROTOCOL.md#R5.1: the session's token and the number of data frames that the client has received
      return [`rejoin.v1.${codec.name}`, ...session ? [`rejoin.resume.${session.token}.${receipts._received}`] : []];
    },

    _ping: () => control('$ping', 0),

    _sleep() {
      report();
      save();
    },

    _beforeDetach() {
      report();
      //= PROTOCOL.md#R4.30: They belong to their socket and are discarded with it
      inbox = [];
      owesAck = false;
    },

    _dropped(end, wasOpen, ms, isLost) {
      const ended = isLost && machine._session && endSession();
      emit(
        wasOpen && ['$dropped', end],
        ended && ['$lost', { reason: end.reason || `closed with ${end.code}`, sends: ended }],
        ms !== undefined && ['$waiting', { ms, attempt: link._attempt, ...end }],
      );
    },

    _closed(end) {
      const sends = endSession('closed');
      shelf._close();
      emit(['$closed', { ...end, sends }]);
    },

    /**
     * A message that cannot be read ends the connection (R2.10, R2.11, R3.7). A page cannot close with a protocol code, so the
     * server sees 1000, the only code of a page that ends the session; the application sees the code that fits.
     */
    _receive(data) {
      link._heard();
      const message = typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer);
      let frame;
      try {
        frame = codec.decode(message);
      } catch (error: any) {
        return link._finish(error.code === 1008 ? 1008 : 1007, 'unreadable message');
      }
      if (!isFrame(frame)) return link._finish(1008, 'not a frame');
      const { event } = frame;
      //= PROTOCOL.md#R3.9: MUST send `$open` as the first frame on every socket, and MUST NOT send it later
      if ((link._state === 'open') === (event === '$open')) return link._finish(1002, '$open out of place');
      if (event?.[0] === '$' && event !== '$gap') {
        if (!handleControl(frame)) link._finish(1002, `malformed ${event}`);
      } else {
        const size = byteLength(message);
        if (inbox.length || isBlocked()) hold(frame, size);
        else handleCounted(frame, size);
      }
    },
  };

  const machine = {
    _session: undefined as Session | undefined,
    _host: host,

    /** Dials, after taking over the state that the page before a reload has left behind. */
    _begin(own: Link) {
      link = own;
      const [kept, messages = []] = shelf._load() ?? [];
      if (!kept) return link._start();
      const { token, ...session } = kept.session;
      machine._session = withToken(session, token);
      receipts._start(kept.received);
      const restored = messages.map((message) => new SentFrame(codec.decode(message), message, byteLength(message)));
      outbox._restore(restored, kept.acked);
      void shelf._claim(token).then((isOurs) => {
        if (!isOurs) {
          // The tab was duplicated, and the session belongs to the original: this one starts anew, with its own frames.
          journal._note('keep', 'another tab has the session');
          machine._session = undefined;
          receipts._start(0);
          shelf._end();
          for (const sent of outbox._clear()) if (!restored.includes(sent)) outbox._add(sent);
        }
        if (link._state === 'connecting') link._start();
      });
    },

    _channel: <T>(limit: number, left: () => void) => createChannel<T>(limit, readers, machine._drain, left),

    /** The application has taken a frame, so waiting frames may follow. */
    _drain() {
      while (inbox.length && !isBlocked()) handleCounted(...inbox.shift()!);
      if (owesAck && !inbox.length) {
        owesAck = false;
        report();
      }
    },

    _writeNew(sent: SentFrame) {
      if (link._state !== 'open') return;
      write(sent);
      syncIfDue();
    },

    /** Drops the queued frames that have waited too long. */
    _expire() {
      const now = Date.now();
      if (outbox._remove(({ _deadline }) => now >= _deadline, 'expired').length) changed();
    },

    _control: control,

    /** R4.24, R4.27: asks for an `$ack`, once: a server that has not yet counted the frames acknowledges them later, unasked. */
    _sync() {
      synced ||= control('$sync');
    },
  };
  return machine;
}

/** The token resumes the session: whatever prints or copies a session leaves it out. */
const withToken = (session: Omit<Session, 'token'>, token: string): Session => (
  Object.defineProperty(session, 'token', { value: token }) as Session);

/** For the journal: frames become their number, and a session leaves its token out by itself. */
const describe = ({ sends, ...detail }: any): unknown => ({ ...detail, ...sends && { sends: sends.length } });
