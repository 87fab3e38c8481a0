import { CUT, GIVEN_UP, LOST, endsSession, hintOf, isFinal } from './closes.js';
import type { Credentials } from './credentials.js';
import type { Journal } from './journal.js';
import { followPage } from './page.js';
import type { End, Options, Socket, SocketClass, State, TokenReason } from './types.js';

const BACKOFF_BASE = 500;
const BACKOFF_MAX = 30_000;
const LASTED = 10_000; // after a connection of this length the backoff restarts
const OPEN_TIMEOUT = 15_000;
const PING_AFTER = 20_000;
const GIVE_UP_AFTER = 60_000;
const WAKE_PATIENCE = 5000;
const SLEPT = 15_000; // the clock jumps by more than this between two ticks of a second
const OPEN = 1; // WebSocket.OPEN

/** The session above a link. */
export interface LinkHost {
  /** The subprotocols of a dial, without credentials. */
  _offers(): string[];
  _receive(data: unknown): void;
  /** R7.6: the socket is about to be let go. */
  _beforeDetach(): void;
  _hasSession(): boolean;
  /** Sends `$ping`. */
  _ping(): void;
  /** Called before the page goes to sleep: reports and saves everything that cannot wait. */
  _sleep(): void;
  /** The socket or a dial has ended. The next dial starts in `ms`, or when the page or the application asks for it. */
  _dropped(end: End, wasOpen: boolean, ms?: number, isLost?: boolean): void;
  _closed(end: End): void;
}

export type Link = ReturnType<typeof createLink>;

/**
 * The sockets of a connection, one after the other: dials, heartbeats, and the reaction to their ends.
 *
 * ```text
 * connecting ──$open──▶ open ──lost──▶ away ──$open──▶ open    close(), or an end that is final ──▶ closed
 *                        any of them ──suspend()──▶ suspended ──retry()──▶ away
 * ```
 */
export function createLink(
  url: string, socketClass: SocketClass, { retry: { base = BACKOFF_BASE, max = BACKOFF_MAX, fatal } = {}, hidden }: Options,
  credentials: Credentials, journal: Journal, host: LinkHost,
) {
  /** The current socket. Events of any other socket are ignored. */
  let socket: Socket | undefined;
  /** Whether the server (or `cut`) set the current wait. */
  let waitIsImposed = false;
  let openedAt = 0;
  /** Whether a dial that offered a resume was abandoned. The server may still act on it, and then closes the next socket (R5.21). */
  let strayDial = false;
  let tokenReason: TokenReason = 'connect';
  let isTheEnd = false; // `close()` was called
  let heardAt = 0;
  let answerBy = Infinity;
  let tickedAt = 0;
  /** Ends a wait, or a dial that takes too long. */
  let attemptTimer: ReturnType<typeof setTimeout> | undefined;
  let lifeTimer: ReturnType<typeof setInterval> | undefined;
  let leavePage: (() => void) | undefined;

  const setState = (state: State) => {
    link._state = state;
    link._since = Date.now();
  };
  const isOpen = () => link._state === 'open';
  const isClosed = () => link._state === 'closed';
  /** Whether there is no socket, and none is being dialled. */
  const isIdle = () => !socket && !credentials._isAsking();

  // ---- dialling

  const connect = () => {
    clearTimeout(attemptTimer);
    waitIsImposed = false;
    link._retryAt = undefined;
    attemptTimer = setTimeout(() => lose(GIVEN_UP, 'no $open in time'), OPEN_TIMEOUT);
    credentials._ask(tokenReason, dial, () => retry({ code: GIVEN_UP, reason: 'no token' }));
  };

  const dial = (auth: string[]) => {
    tokenReason = 'refused'; // until `$open`
    journal._note('dial', link._attempt);
    const own = socket = new socketClass(url, [...host._offers(), ...auth]);
    own.binaryType = 'arraybuffer';
    own.onmessage = ({ data }) => { if (own === socket) host._receive(data); };
    // A page cannot see the HTTP status of a refused upgrade. It looks like a lost socket, so the client dials again.
    own.onclose = ({ code, reason }) => { if (own === socket) handleClose({ code, reason }); };
    own.onerror = () => {}; // `ws` throws without it; a close follows
  };

  /** Detaches the socket without waiting for its close handshake. */
  const detach = (code: number, reason: string) => {
    host._beforeDetach();
    clearTimeout(attemptTimer);
    clearInterval(lifeTimer);
    const own = socket;
    socket = undefined;
    credentials._cancel();
    own?.close(code, reason);
  };

  /** R5.21: the server may act late on an abandoned dial, and close the socket of the next one with 4000. */
  const noteStrayDial = () => {
    if (!isOpen() && host._hasSession()) strayDial = true;
  };

  const letGo = (code: number, reason: string) => {
    if (socket) noteStrayDial();
    detach(code, reason);
  };

  /** Drops the socket, and dials after exactly `wait`, or the backoff. The code suspends the session. */
  const lose = (code: number, reason: string, wait?: number) => {
    letGo(code, reason);
    retry({ code, reason }, false, wait);
  };

  const handleClose = (end: End) => {
    const { code } = end;
    const isDueToStray = code === 4000 && strayDial;
    if (isDueToStray || isOpen()) strayDial = false; // one 4000, of the socket after the stray dial
    if (code === LOST) noteStrayDial();
    if (code === 3000) tokenReason = 'expired';
    if ((isFinal(code) && !isDueToStray) || fatal?.(end)) finish(end);
    else retry(end, endsSession(end));
  };

  /** Dials again: after exactly `wait`, or after the backoff, or later if the server asks for that. */
  const retry = (end: End, isLost?: boolean, wait?: number) => {
    const hint = hintOf(end);
    const wasOpen = isOpen();
    detach(CUT, '');
    if (wasOpen) {
      setState('away');
      // Keep the backoff for a connection that did not last, or a server that opens and drops would be dialled twice a second.
      if (performance.now() - openedAt >= LASTED) link._attempt = 0;
    }
    waitIsImposed = (wait ?? hint) !== undefined || end.code === 1013;
    const backoff = Math.min(base * 2 ** link._attempt, max) * (0.5 + Math.random() / 2);
    if (wait === undefined) link._attempt++;
    const ms = wait ?? Math.ceil(Math.max(hint ?? 0, backoff));
    link._retryAt = Date.now() + ms;
    attemptTimer = setTimeout(connect, ms);
    host._dropped(end, wasOpen, ms, isLost);
  };

  /** Lets go of the socket or the wait without a timer for another dial. */
  const pause = (state: State, reason: string) => {
    if (isClosed()) return;
    const wasOpen = isOpen();
    letGo(CUT, reason);
    link._retryAt = undefined;
    setState(state);
    host._dropped({ code: CUT, reason }, wasOpen);
  };

  const finish = (end: End) => {
    if (isClosed()) return;
    detach(1000, end.reason);
    setState('closed');
    leavePage?.();
    leavePage = undefined; // `retry()` follows it again
    host._closed(end);
  };

  // ---- heartbeat: a page cannot see RFC 6455 pings, so it sends `$ping` (R8.1, with the times of R8.3)

  const checkLife = () => {
    const now = performance.now();
    const slept = Date.now() - tickedAt > SLEPT;
    tickedAt = Date.now();
    if (now >= answerBy) lose(GIVEN_UP, 'nothing arrived for too long');
    else if (answerBy === Infinity && (slept || now - heardAt >= PING_AFTER)) {
      probe(slept ? WAKE_PATIENCE : GIVE_UP_AFTER - PING_AFTER);
    }
  };

  const probe = (patience: number) => {
    host._ping();
    answerBy = Math.min(answerBy, performance.now() + patience);
  };

  const page = {
    _wake() {
      if (isOpen()) probe(WAKE_PATIENCE);
      // Without a wait, the link rests until the page is shown.
      else if (isIdle() && !waitIsImposed && link._state !== 'suspended' && (link._retryAt || !globalThis.document?.hidden)) connect();
    },
    _revive() {
      if (!isOpen()) return page._wake();
      pause('away', 'frozen');
      connect();
    },
    _sleep: host._sleep,
    _rest() {
      if (link._state !== 'suspended') pause('away', 'hidden');
    },
  };

  const link = {
    _state: 'connecting' as State,
    _since: Date.now(),
    /** Dials since a connection that lasted. */
    _attempt: 0,
    _retryAt: undefined as number | undefined,

    _unsent: () => socket?.bufferedAmount ?? 0,
    _protocol: () => socket?.protocol,

    /** Dials at once, but after `close()`. */
    _start() {
      if (isTheEnd || isOpen() || !isIdle()) return;
      setState(host._hasSession() ? 'away' : 'connecting');
      leavePage ??= followPage(page, hidden?.closeAfter);
      connect();
    },

    /** Returns false when no socket takes it, or one that is already closing. */
    _transmit(data: string | Uint8Array<ArrayBuffer>): boolean {
      if (socket?.readyState !== OPEN) return false;
      socket.send(data);
      return true;
    },

    /** `$open` has arrived. */
    _opened() {
      clearTimeout(attemptTimer);
      setState('open');
      tokenReason = 'reconnect';
      openedAt = performance.now();
      tickedAt = Date.now();
      lifeTimer = setInterval(checkLife, 1000);
    },

    _heard() {
      heardAt = performance.now();
      answerBy = Infinity;
    },

    _cut(ms?: number) {
      if (isClosed()) return;
      if (ms === undefined) link._attempt = 0; // the server did nothing wrong
      lose(CUT, 'cut', ms);
    },

    _suspend: () => pause('suspended', 'suspended'),

    /** Ends the socket for a session that the server has forgotten (R5.13). */
    _abandon() {
      detach(1000, 'session lost');
      retry({ code: LOST, reason: 'unknown' }, true);
    },

    _finish: (code: number, reason: string) => finish({ code, reason }),

    /** The application closes: nothing revives the connection. */
    _close() {
      isTheEnd = true;
      finish({ code: 1000, reason: '' });
    },
  };
  return link;
}
