import { CUT, GIVEN_UP, LOST, afterClose, type Verdict } from './closes.js';
import type { Credentials } from './credentials.js';
import type { Journal } from './journal.js';
import { followPage, type PageLife } from './page.js';
import type { End, Options, Socket, SocketClass, State, TokenReason } from './types.js';

const BACKOFF_BASE = 500;
const BACKOFF_MAX = 30_000;
const LASTED = 10_000; // after a connection of this length the backoff restarts
const OPEN_TIMEOUT = 15_000;
const PING_AFTER = 20_000;
const GIVE_UP_AFTER = 60_000;
const WAKE_PATIENCE = 5000;
const SLEPT = 15_000; // the clock jumps by more than this between two ticks of a second
const OPEN = 1; // WebSocket.OPEN, which not every implementation has

/** What a link needs of the session above it. */
export interface LinkHost {
  /** The subprotocols of a dial, without credentials. */
  _offers(): string[];
  _receive(data: unknown): void;
  /** R7.6: the socket is about to be let go. */
  _beforeDetach(): void;
  _hasSession(): boolean;
  /** Sends `$ping`. */
  _ping(): void;
  /** Saves what a reload needs. */
  _sleep(): void;
  /** The socket has ended, or a dial; the next one starts in `ms`, or never if that is undefined. */
  _dropped(end: End, wasOpen: boolean, ms: number | undefined, endsSession: boolean): void;
  _closed(end: End): void;
}

/**
 * The sockets of a connection, one after the other: dials, heartbeats, and the reaction to their ends.
 *
 * ```text
 * connecting ──$open──▶ open ──lost──▶ away ──$open──▶ open    close(), or an end that is final ──▶ closed
 *                        any of them ──suspend()──▶ suspended ──retry()──▶ away
 * ```
 */
export class Link implements PageLife {
  _state: State = 'connecting';
  _since = Date.now();
  /** Dials since a connection that lasted. */
  _attempt = 0;
  _retryAt: number | undefined;
  /** The current socket. Events of any other socket are ignored. */
  #socket: Socket | undefined;
  /** Whether the server (or `cut`) set the current wait. */
  #waitIsImposed = false;
  #openedAt = 0;
  /** Whether a dial that offered a resume was abandoned. The server may still act on it, and then closes the next socket (R5.21). */
  #strayDial = false;
  #reason: TokenReason = 'connect';
  #isFinal = false;
  #heardAt = 0;
  #answerBy = Infinity;
  #tickedAt = 0;
  /** Ends a wait, or a dial that takes too long. */
  #attemptTimer: ReturnType<typeof setTimeout> | undefined;
  #lifeTimer: ReturnType<typeof setInterval> | undefined;
  #leavePage: (() => void) | undefined;

  constructor(
    readonly _url: string, readonly _class: SocketClass, readonly _options: Options, readonly _credentials: Credentials,
    readonly _journal: Journal, readonly _host: LinkHost,
  ) {}

  get _unsent(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  _start(): void {
    this.#leavePage ??= followPage(this, this._options.hidden?.closeAfter);
    this.#connect();
  }

  /** Returns false when no socket takes it, or one that is already closing. */
  _transmit(data: string | Uint8Array<ArrayBuffer>): boolean {
    if (this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(data);
    return true;
  }

  get _protocol(): string | undefined {
    return this.#socket?.protocol;
  }

  /** `$open` has arrived. */
  _opened(): void {
    clearTimeout(this.#attemptTimer);
    this.#setState('open');
    this.#reason = 'reconnect';
    this.#openedAt = performance.now();
    this.#tickedAt = Date.now();
    this.#lifeTimer = setInterval(() => this.#checkLife(), 1000);
  }

  _heard(): void {
    this.#heardAt = performance.now();
    this.#answerBy = Infinity;
  }

  /** Drops the socket, and dials after exactly `wait`, or the backoff. The code suspends the session. */
  _lose(code: number, reason: string, wait?: number): void {
    this.#letGo(code, reason);
    this.#retry({ code, reason }, { next: 'resume' }, wait);
  }

  _cut(ms?: number): void {
    if (this._state === 'closed') return;
    if (ms === undefined) this._attempt = 0; // the server did nothing wrong
    this._lose(CUT, 'cut', ms);
  }

  _suspend(): void {
    if (this._state !== 'closed') this.#pause('suspended');
  }

  /** Ends the socket for a session that the server has forgotten (R5.13). */
  _abandon(): void {
    this.#detach(1000, 'session lost');
    this.#retry({ code: LOST, reason: 'unknown' }, { next: 'afresh' });
  }

  /** Dials at once, but after `close()`. */
  _retryNow(): void {
    if (this.#isFinal || this._state === 'open' || this.#socket || this._credentials._isAsking) return;
    if (this._state === 'closed' || this._state === 'suspended') this.#setState(this._host._hasSession() ? 'away' : 'connecting');
    clearTimeout(this.#attemptTimer);
    this._start();
  }

  /** The end. `isOwn`: the application closed, and nothing revives the connection. */
  _finish(code: number, reason: string, isOwn = false): void {
    this.#isFinal ||= isOwn;
    if (this._state === 'closed') return;
    this.#detach(1000, reason);
    this.#setState('closed');
    this.#leavePage?.();
    this.#leavePage = undefined;
    this._host._closed({ code, reason });
  }

  // ---- the page

  _wake(): void {
    if (this._state === 'open') return this.#probe(WAKE_PATIENCE);
    if (this.#isIdle() && !this.#waitIsImposed && !isHidden()) this.#dialNow();
  }

  _revive(): void {
    if (this._state === 'open') {
      const end = { code: CUT, reason: 'the page was frozen' };
      this.#detach(end.code, end.reason);
      this.#setState('away');
      this._host._dropped(end, true, 0, false);
      this.#dialNow();
    } else if (this.#isIdle()) {
      this._wake();
    }
  }

  _sleep(): void {
    this._host._sleep();
  }

  _rest(): void {
    if (this._state !== 'suspended' && this._state !== 'closed') this.#pause('away');
  }

  /** Whether it waits for the next dial. */
  #isIdle(): boolean {
    return !this.#socket && !this._credentials._isAsking && this._state !== 'suspended' && this._state !== 'closed';
  }

  // ---- dialling

  #dialNow(): void {
    clearTimeout(this.#attemptTimer);
    this.#connect();
  }

  #connect(): void {
    this._retryAt = undefined;
    this.#waitIsImposed = false;
    this.#attemptTimer = setTimeout(() => this._lose(GIVEN_UP, 'no $open in time'), OPEN_TIMEOUT);
    this._credentials._ask(
      this.#reason,
      (auth) => this.#dial(auth),
      () => this.#retry({ code: GIVEN_UP, reason: 'no token' }, { next: 'resume' }),
    );
  }

  #dial(auth: string[]): void {
    this.#reason = 'refused'; // until `$open`
    this._journal._note('dial', { attempt: this._attempt });
    const socket = new this._class(this._url, [...this._host._offers(), ...auth]);
    this.#socket = socket;
    socket.binaryType = 'arraybuffer';
    socket.onmessage = ({ data }) => { if (socket === this.#socket) this._host._receive(data); };
    // A page cannot see the HTTP status of a refused upgrade. It looks like a lost socket, so the client dials again.
    socket.onclose = ({ code, reason }) => { if (socket === this.#socket) this.#handleClose({ code, reason }); };
    socket.onerror = () => {}; // `ws` throws without it; a close follows
  }

  /** Detaches the socket without waiting for its close handshake. */
  #detach(code: number, reason: string): void {
    this._host._beforeDetach();
    clearTimeout(this.#attemptTimer);
    clearInterval(this.#lifeTimer);
    const socket = this.#socket;
    this.#socket = undefined;
    this._credentials._cancel();
    socket?.close(code, reason);
  }

  #letGo(code: number, reason: string): void {
    if (this.#socket) this.#noteStrayDial();
    this.#detach(code, reason);
  }

  /** R5.21: the server may act late on an abandoned dial, and close the socket of the next one with 4000. */
  #noteStrayDial(): void {
    if (this._state !== 'open' && this._host._hasSession()) this.#strayDial = true;
  }

  #handleClose(end: End): void {
    const isDueToStray = end.code === 4000 && this.#strayDial;
    if (isDueToStray || this._state === 'open') this.#strayDial = false; // one 4000, of the socket after the stray dial
    if (end.code === LOST) this.#noteStrayDial();
    if (end.code === 3000) this.#reason = 'expired';
    const verdict: Verdict = isDueToStray ? { next: 'resume' } : afterClose(end);
    if (verdict.next === 'never' || this._options.retry?.fatal?.(end)) this._finish(end.code, end.reason);
    else this.#retry(end, verdict);
  }

  /** Dials again after `wait` (exactly), after `hint` or later, or after the backoff. */
  #retry(end: End, { next, hint }: Verdict, wait?: number): void {
    const wasOpen = this._state === 'open';
    this.#detach(CUT, '');
    if (wasOpen) {
      this.#setState('away');
      // Keep the backoff for a connection that did not last, or a server that opens and drops would be dialled twice a second.
      if (performance.now() - this.#openedAt >= LASTED) this._attempt = 0;
    }
    this.#waitIsImposed = (wait ?? hint) !== undefined || end.code === 1013;
    const ms = wait ?? Math.ceil(Math.max(hint ?? 0, this.#backoff(this._attempt++)));
    this._retryAt = Date.now() + ms;
    this.#attemptTimer = setTimeout(() => this.#connect(), ms);
    this._host._dropped(end, wasOpen, ms, next === 'afresh');
  }

  #backoff(attempt: number): number {
    const { base = BACKOFF_BASE, max = BACKOFF_MAX } = this._options.retry ?? {};
    return Math.min(base * 2 ** attempt, max) * (0.5 + Math.random() / 2);
  }

  /** Lets go of the socket or the wait without another dial. */
  #pause(state: State): void {
    const wasOpen = this._state === 'open';
    this.#letGo(CUT, state);
    this._retryAt = undefined;
    this.#setState(state);
    this._host._dropped({ code: CUT, reason: state }, wasOpen, undefined, false);
  }

  #setState(state: State): void {
    this._state = state;
    this._since = Date.now();
  }

  // ---- heartbeat: a page cannot see RFC 6455 pings, so it sends `$ping` (R8.1, with the times of R8.3)

  #checkLife(): void {
    const now = performance.now();
    const slept = Date.now() - this.#tickedAt > SLEPT;
    this.#tickedAt = Date.now();
    if (now >= this.#answerBy) this._lose(GIVEN_UP, 'nothing arrived for too long');
    else if (this.#answerBy === Infinity && (slept || now - this.#heardAt >= PING_AFTER)) {
      this.#probe(slept ? WAKE_PATIENCE : GIVE_UP_AFTER - PING_AFTER);
    }
  }

  #probe(patience: number): void {
    this._host._ping();
    this.#answerBy = Math.min(this.#answerBy, performance.now() + patience);
  }
}

const isHidden = (): boolean => typeof document !== 'undefined' && document.hidden;
