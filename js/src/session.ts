import type { Asks } from './asks.js';
import type { Channel } from './channel.js';
import type { Codec, Frame } from './codec.js';
import type { Emitter } from './emitter.js';
import { byteLength, isCount, isFrame, isOpen, type Open } from './guards.js';
import type { Journal } from './journal.js';
import type { Link, LinkHost } from './link.js';
import type { Outbox } from './outbox.js';
import { Receipts } from './receipts.js';
import { SentFrame } from './sent.js';
import type { End, Lifecycle, Message, Session } from './types.js';

type Event = { [E in keyof Lifecycle]: readonly [E, Lifecycle[E]] }[keyof Lifecycle];

/**
 * The session, across all its sockets: what was sent and received, and what the server knows of it (PROTOCOL.md §4, §5).
 */
export class SessionMachine implements LinkHost {
  _link!: Link;
  _session: Session | undefined;
  /** While one of them is full, data frames wait in `#inbox`, uncounted, so that the server waits too (R4.29). */
  _readers = new Set<Channel<any>>();
  #receipts = new Receipts(() => this.#report());
  #inbox: [frame: Frame, size: number][] = [];
  #inboxBytes = 0;
  /** Whether `$sync` was answered while frames waited in the inbox (R4.32). */
  #owesAck = false;
  /** Whether `$sync` was sent and no `$ack` since has acknowledged anything new. */
  #synced = false;
  /** Frames of the page before a reload, until its session is resumed. */
  #restored: SentFrame[] = [];

  constructor(
    readonly _codec: Codec, readonly _outbox: Outbox, readonly _asks: Asks, readonly _emitter: Emitter, readonly _journal: Journal,
    readonly _changed: () => void,
  ) {}

  /** Dials; first of all, takes over what the page before a reload has left behind. */
  _begin(): void {
    const outbox = this._outbox;
    const shelf = outbox._shelf;
    const found = shelf._load(this._codec.name);
    if (!found) return this._link._start();
    const [kept, messages] = found;
    const { token, ...session } = kept.session;
    this._session = withToken(session, token);
    this.#receipts._received = this.#receipts._reported = kept.received;
    outbox._acked = kept.acked;
    for (const message of messages) {
      const sent = new SentFrame(this._codec.decode(message), message, byteLength(message));
      this.#restored.push(sent);
    }
    outbox._restore(this.#restored, kept.first);
    this._link._state = 'away';
    void shelf._claim(token).then((isOurs) => {
      if (!isOurs) this.#disown();
      if (this._link._state === 'away' || this._link._state === 'connecting') this._link._start();
    });
  }

  /** The tab was duplicated, and the session belongs to the original: this one starts anew. */
  #disown(): void {
    this._journal._note('keep', 'another tab has the session');
    this._session = undefined;
    this.#receipts._clear();
    this._outbox._disown(this.#restored);
    if (this._link._state === 'away') this._link._state = 'connecting';
  }

  // ---- the link

  _hasSession(): boolean {
    return this._session !== undefined;
  }

  _offers(): string[] {
    this.#save();
    const offers = [`rejoin.v1.${this._codec.name}`];
    //= PROTOCOL.md#R5.1: the session's token and the number of data frames that the client has received
    if (this._session) offers.push(`rejoin.resume.${this._session.token}.${this.#receipts._received}`);
    return offers;
  }

  _ping(): void {
    this._control('$ping', 0);
  }

  _sleep(): void {
    this.#report();
    this.#save();
  }

  _beforeDetach(): void {
    this.#report();
    //= PROTOCOL.md#R4.30: They belong to their socket and are discarded with it
    this.#inbox = [];
    this.#inboxBytes = 0;
    this.#owesAck = false;
  }

  _dropped(end: End, wasOpen: boolean, ms: number | undefined, endsSession: boolean): void {
    const ended = endsSession && this._session && this.#endSession();
    this.#emit(
      wasOpen && ['$dropped', end],
      ended && ['$lost', { reason: end.reason || `closed with ${end.code}`, sends: ended }],
      ms !== undefined && ['$waiting', { ms, attempt: this._link._attempt, ...end }],
    );
  }

  _closed(end: End): void {
    const sends = this.#endSession('closed');
    this._outbox._shelf._close();
    for (const reader of [...this._readers]) reader._end();
    this.#emit(['$closed', { ...end, sends }]);
  }

  /** Forgets the session; both counts start at 0 (R5.12). Returns the unacknowledged frames. */
  #endSession(reason: 'closed' | 'session ended' = 'session ended'): SentFrame[] {
    const ended = this._outbox._clear();
    for (const sent of ended) sent._lose(reason);
    this._session = undefined;
    this.#restored = [];
    this.#receipts._clear();
    this._outbox._shelf._clear();
    this._asks._end(reason);
    return ended;
  }

  // ---- receiving

  /**
   * A message that cannot be read ends the connection (R2.10, R2.11, R3.7). A page cannot close with a protocol code, so the server
   * sees 1000, the only code of a page that ends the session; the application sees the code that fits.
   */
  _receive(data: unknown): void {
    const link = this._link;
    link._heard();
    let frame;
    const message = typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer);
    try {
      frame = this._codec.decode(message);
    } catch (error: any) {
      return link._finish(error?.code === 1008 ? 1008 : 1007, String(error?.message ?? error).slice(0, 100));
    }
    if (!isFrame(frame)) return link._finish(1008, 'not a frame');
    const { event } = frame;
    //= PROTOCOL.md#R3.9: MUST send `$open` as the first frame on every socket, and MUST NOT send it later
    if ((link._state === 'open') === (event === '$open')) return link._finish(1002, '$open must come first, and once');
    if (event?.[0] === '$' && event !== '$gap') this.#handleControl(frame);
    else if (this.#inbox.length || this.#isBlocked()) this.#hold(frame, byteLength(message));
    else this.#handleCounted(frame, byteLength(message));
  }

  #isBlocked(): boolean {
    for (const reader of this._readers) if (reader._isFull) return true;
    return false;
  }

  /** R4.29: reads on without counting. The server keeps what it has not been acknowledged, so a resume brings what is too much. */
  #hold(frame: Frame, size: number): void {
    if (frame.volatile) return; // R12.4: its application lags behind
    this.#inboxBytes += size;
    const { buffer, bufferBytes } = this._session!;
    if (this.#inbox.push([frame, size]) > 2 * buffer || this.#inboxBytes > 2 * bufferBytes) this._link._cut();
  }

  /** An application has taken a frame: those that wait for it may follow. */
  _drain(): void {
    while (this.#inbox.length && !this.#isBlocked()) {
      const [frame, size] = this.#inbox.shift()!;
      this.#inboxBytes -= size;
      this.#handleCounted(frame, size);
    }
    if (this.#owesAck && this.#inbox.length === 0) {
      this.#owesAck = false;
      this.#report();
    }
  }

  /** A frame that has a number, or a gap. */
  #handleCounted(frame: Frame, size: number): void {
    if (frame.event === '$gap') {
      if (!this.#handleGap(frame.payload ?? {})) this._link._finish(1002, 'malformed $gap');
      return;
    }
    const { event = '', payload, id, re, more, room, volatile } = frame;
    const message: { -readonly [M in keyof Message]: Message[M] } = { event, payload };
    if (volatile) message.volatile = true; // it has no number (R12.4)
    else this.#receipts._count(message.number = this.#receipts._received + 1, size);
    if (id) message.id = id;
    if (re) message.re = re;
    if (more) message.more = true;
    if (room) message.room = room;
    //= PROTOCOL.md#R11.11: MUST count an answer without an asker
    if (re ? !this._asks._handleAnswer(message) : !this._asks._handleQuestion(message)) {
      this._emitter._emit([re ? '$answer' : event, message]);
    }
    this.#acknowledge();
  }

  //= PROTOCOL.md#R4.5: `from` MUST be the receiver's count plus 1, and `to` MUST NOT be below `from`
  #handleGap({ from, to }: { from?: unknown; to?: unknown }): boolean {
    if (from !== this.#receipts._received + 1 || !isCount(to) || to < from) return false;
    this.#receipts._count(to, 0);
    this.#emit(['$gap', { from, to }]);
    this.#acknowledge();
    return true;
  }

  #handleControl({ event, payload }: Frame): void {
    let isFine: unknown = true; // an unknown event is ignored (R3.6)
    switch (event) {
      case '$open': isFine = isOpen(payload) && this.#handleOpen(payload); break;
      case '$ack': isFine = this.#handleAck(payload); break;
      case '$cancel': this._asks._handleCancel((payload as any)?.id); break;
      case '$sync':
        this.#owesAck = this.#inbox.length > 0;
        this.#report(true);
        break;
      case '$ping': this._control('$pong', payload);
    }
    if (!isFine) this._link._finish(1002, `malformed ${event}`);
  }

  #handleOpen({ session: token, id, room, resumed, received, lost, ...bounds }: Open): boolean {
    const link = this._link;
    const outbox = this._outbox;
    if (link._protocol !== `rejoin.v1.${this._codec.name}` || (resumed && token !== this._session?.token)) return false;
    //= PROTOCOL.md#R5.13: MUST take the session for lost
    if (resumed && received < outbox._acked) {
      link._abandon();
      return true;
    }
    const ended = !resumed && this._session && this.#endSession();
    const covered = outbox._cover(received);
    if (!covered) return false;
    const maxMessage = bounds.max_message ?? Infinity;
    //= PROTOCOL.md#R4.10: MUST read a `buffer` or `buffer_bytes` of 0 as 1
    const session = this._session = withToken({
      id, room, windowMs: bounds.window_ms, buffer: Math.max(1, bounds.buffer), bufferBytes: Math.max(1, bounds.buffer_bytes ?? 1 << 20), maxMessage,
    }, token);
    void outbox._shelf._claim(token);
    link._opened();
    this.#synced = false;
    this.#restored = [];
    this.#tidy();
    this._expire();
    const refused = resumed ? [] : outbox._remove(({ size }) => size > maxMessage, 'too big', maxMessage);
    const waited = outbox._kept.filter((sent) => sent.state === 'queued');
    //= PROTOCOL.md#R5.10: MUST send the rest again, in order, before anything newer
    for (const sent of outbox._kept) this.#write(sent);
    if (outbox._isSyncDue(session)) this._sync();
    this.#emit(
      covered.length > 0 && ['$acked', { upTo: received, sends: covered }],
      ended && ['$lost', { reason: lost ?? 'unknown', sends: ended }],
      [resumed ? '$restored' : '$open', { session }],
      refused.length > 0 && ['$refused', { limit: maxMessage, sends: refused }],
      waited.length > 0 && ['$sent', { sends: waited }],
    );
    return true;
  }

  #handleAck(upTo: unknown): boolean {
    const covered = this._outbox._cover(upTo);
    if (!covered) return false;
    if (covered.length) {
      this.#synced = false;
      this.#tidy();
    }
    if (this._outbox._isSyncDue(this._session)) this._sync();
    this.#emit(covered.length > 0 && ['$acked', { upTo: upTo as number, sends: covered }]);
    return true;
  }

  // ---- sending

  _writeNew(sent: SentFrame): void {
    if (this._link._state !== 'open') return;
    this.#write(sent);
    if (this._outbox._isSyncDue(this._session)) this._sync();
  }

  #write(sent: SentFrame): void {
    if (this._link._transmit(sent._data)) this._outbox._noteWritten(sent);
  }

  /** Drops the queued frames that have waited too long. */
  _expire(): void {
    const now = Date.now();
    if (this._outbox._remove(({ _deadline }) => now >= _deadline, 'expired').length) this._changed();
  }

  /** Sends a control frame if there is a session on the socket. */
  _control(event: string, payload?: unknown): boolean {
    return this._link._state === 'open' && this._link._transmit(this._codec.encode({ event, payload }));
  }

  /** R4.24, R4.27: asks for an `$ack`, once: a server that has not yet counted the frames acknowledges them later, unasked. */
  _sync(): void {
    if (!this.#synced) this.#synced = this._control('$sync');
  }

  #acknowledge(): void {
    if (this._session && this.#receipts._isDue(this._session)) this.#report();
  }

  /** @param asked by `$sync`, which is answered even if there is nothing new */
  #report(asked = false): void {
    const receipts = this.#receipts;
    receipts._stopTimer();
    if (this._link._state !== 'open' || (receipts._reported === receipts._received && !asked)) return;
    this.#save();
    this._control('$ack', receipts._received);
    receipts._noteReported();
  }

  #save(): void {
    this._outbox._shelf._save(this._session, this.#receipts._received, this._outbox._acked, this._codec.name);
  }

  #tidy(): void {
    this._outbox._shelf._tidy(this._outbox._kept[0]?._place, () => this.#save());
  }

  #emit(...events: (Event | false | undefined)[]): void {
    for (const event of events) {
      if (event && event[0] !== '$sent' && event[0] !== '$acked') this._journal._note(event[0], describe(event[1]));
    }
    this._changed();
    this._emitter._emit(...events);
  }
}

/** The token resumes the session: whatever prints or copies a session leaves it out. */
function withToken(session: Omit<Session, 'token'>, token: string): Session {
  return Object.defineProperty({ ...session }, 'token', { value: token }) as Session;
}

/** For the journal: frames become their number. */
function describe({ sends, ...detail }: any): unknown {
  return sends ? { ...detail, sends: sends.length } : detail;
}
