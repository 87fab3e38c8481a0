// @ts-check
/**
 * rejoin's session mode for browsers, in the json codec: PROTOCOL.md, version 1, whose sections (§) are named where they
 * are obeyed. One file without dependencies, to be used as it is or copied.
 *
 *     const connection = new Rejoin('wss://example.org/ws?room=tea');
 *     connection.addEventListener('message', ({ detail }) => console.log(detail.event, detail.payload));
 *     connection.send({ event: 'say', payload: { text: 'hello' } });
 *
 * Every event is a `CustomEvent`; its `detail`:
 *
 * | event      | detail                             | meaning                                                           |
 * |------------|------------------------------------|-------------------------------------------------------------------|
 * | `open`     | `{ session }`                      | a fresh session: the first one, or the one after `lost`           |
 * | `message`  | `{ number, id?, event?, payload }` | a data frame, exactly once and in order                           |
 * | `sent`     | `{ sends }`                        | frames that waited for a socket have been handed to one           |
 * | `acked`    | `{ upTo, sends }`                  | the server has received every frame up to number `upTo`           |
 * | `dropped`  | `{ code, reason }`                 | the socket is gone; the session may go on                         |
 * | `waiting`  | `{ ms, attempt }`                  | the next attempt begins in `ms`                                   |
 * | `restored` | `{ session }`                      | the session goes on, on a new socket                              |
 * | `gap`      | `{ from, to }`                     | the frames with these numbers will never come                     |
 * | `lost`     | `{ reason, sends }`                | the session is over; `sends` were never acknowledged              |
 * | `closed`   | `{ code, reason, sends }`          | the end, no more attempts; `sends` were never acknowledged        |
 *
 * Payloads pass through `JSON.parse`: an integer beyond 2^53 loses its last digits here. Send such numbers as strings.
 *
 * @typedef {{ id?: string, event?: string, payload?: any }} Frame
 * @typedef {{ token: string, id: string, room: string, windowMs: number, buffer: number }} Session
 * @typedef {'connecting' | 'open' | 'away' | 'closed'} State
 *
 * What `send` returns. `number` counts within the session (§4); `text` is what crosses the wire; `state` moves along.
 * @typedef {{ number: number, frame: Frame, text: string, state: 'queued' | 'sent' | 'acknowledged' | 'lost' }} Sent
 */
export class Rejoin extends EventTarget {
  #url;
  /** The only socket that counts: whatever comes from another one is ignored. @type {WebSocket | null} */
  #socket = null;
  /** @type {State} */
  #state = 'connecting';
  /** Failed attempts in a row, and whether the server (or `cutFor`) set the present wait. */
  #attempt = 0;
  #waitIsImposed = false;
  #openedAt = 0;
  /** Whether a dial that offered a resume was let go before its `$open`: it may still arrive, and take the session over. */
  #strayDial = false;

  // The session, across all its sockets. Invariant: #kept holds the frames #acknowledged + 1, + 2, … without a hole,
  // and #acknowledged <= #written <= #acknowledged + #kept.length.
  /** @type {Session | null} */
  #session = null;
  /** @type {Sent[]} */
  #kept = [];
  #acknowledged = 0; // of ours, by the server
  #written = 0; // of ours, the highest number that any socket was given
  #received = 0; // of the server's, by us
  #reported = 0; // of #received, what the server has been told

  // The present socket. Times are `performance.now()`.
  #oldestUnreported = 0;
  #heardAt = 0;
  #answerBy = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #ackTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #lifeTimer;
  /** The end of a wait, or of the patience with an attempt. @type {ReturnType<typeof setTimeout> | undefined} */
  #attemptTimer;
  #pageEvents = new AbortController();

  /** Begins to connect at once. @param {string | URL} url `ws:` or `wss:`; must not change what it identifies (§5) */
  constructor(url) {
    super();
    this.#url = url;
    this.#connect();
    const { signal } = this.#pageEvents;
    addEventListener('online', () => this.#handleWake(true), { signal });
    document.addEventListener('visibilitychange', () => document.hidden || this.#handleWake(false), { signal });
  }

  get state() { return this.#state; }
  get session() { return this.#session; }
  /** How many frames are not yet acknowledged. */
  get pending() { return this.#kept.length; }
  /** How many may be (§4); before the first `$open` has named the session's bound, a modest one. */
  get buffer() { return this.#session?.buffer ?? BUFFER_UNTIL_OPEN; }

  /**
   * Takes a frame for delivery. While no socket is there it is kept, and leaves after the resume.
   * Throws when the connection is closed, the frame is none, or `buffer` frames are unacknowledged already.
   * @param {Frame} frame @returns {Sent}
   */
  send({ id, event, payload }) {
    if (this.#state === 'closed') throw new Error('the connection is closed');
    if (!isText(id) || !isText(event)) throw new TypeError('id and event must be strings');
    if (event?.startsWith('$')) throw new Error(`an event beginning with $ belongs to the protocol: ${event}`); // §3
    if (this.#kept.length >= this.buffer) throw new Error(`${this.#kept.length} frames are unacknowledged: the buffer is full`);
    const frame = { id: id || undefined, event: event || undefined, payload };
    const number = this.#acknowledged + this.#kept.length + 1;
    /** @type {Sent} */
    const sent = { number, frame, text: JSON.stringify(frame), state: 'queued' };
    this.#kept.push(sent);
    if (this.#state === 'open') this.#write(sent);
    return sent;
  }

  /** Ends the session (§7: 1000). While away the server cannot be told, and lets the session's window pass. */
  close() {
    if (this.#state !== 'closed') this.#finish(1000, '');
  }

  /** For tests and demonstrations: loses the socket. The session goes on with the next one. */
  cut() {
    if (this.#state !== 'closed') this.#lose(CUT, 'cut');
  }

  /** The same, with no attempt to connect for so many milliseconds. @param {number} ms */
  cutFor(ms) {
    if (this.#state !== 'closed') this.#lose(CUT, 'cut', ms);
  }

  // ---- a socket's life

  #connect() {
    const offers = [CODEC];
    if (this.#session) offers.push(`rejoin.resume.${this.#session.token}.${this.#received}`); // §5
    const socket = new WebSocket(this.#url, offers);
    this.#socket = socket;
    socket.onmessage = ({ data }) => { if (socket === this.#socket) this.#handleMessage(data); };
    // A page is not told the HTTP status of a refused upgrade: it looks like any lost socket, and is tried again.
    socket.onclose = ({ code, reason }) => { if (socket === this.#socket) this.#handleClose(code, reason); };
    this.#attemptTimer = setTimeout(() => this.#lose(GIVEN_UP, 'no $open in time'), OPEN_TIMEOUT);
  }

  /** Lets go of the socket without waiting for its close handshake. @param {number} code @param {string} reason */
  #detach(code, reason) {
    clearTimeout(this.#attemptTimer);
    clearTimeout(this.#ackTimer);
    clearInterval(this.#lifeTimer);
    this.#ackTimer = undefined;
    this.#answerBy = Infinity;
    const socket = this.#socket;
    if (socket && this.#session && this.#state === 'away') this.#strayDial = true;
    this.#socket = null;
    socket?.close(code, reason);
  }

  /** @param {number} code one that suspends the session (§7: any other) @param {string} reason @param {number} [wait] */
  #lose(code, reason, wait) {
    this.#detach(code, reason);
    this.#handleClose(code, reason, wait);
  }

  /** §7, the column 'the client'. @param {number} code @param {string} reason @param {number} [wait] */
  #handleClose(code, reason, wait) {
    // After a stray dial of ours, one 4000 is our own doing: we take the session back (§5).
    const stray = code === 4000 && this.#strayDial;
    if (stray) this.#strayDial = false;
    const verdict = stray ? afterClose(LOST, reason) : afterClose(code, reason);
    if (verdict.next === 'never') return this.#finish(code, reason);
    this.#detach(CUT, '');
    const wasOpen = this.#state === 'open';
    if (wasOpen) {
      this.#state = 'away';
      // A server that fails or is overloaded as soon as it is reached again must not be asked twice a second.
      const brief = performance.now() - this.#openedAt < BACKOFF_MAX;
      if (!(brief && (code === 1011 || code === 1013))) this.#attempt = 0;
    }
    wait ??= verdict.wait;
    this.#waitIsImposed = wait !== undefined || code === 1013;
    const ms = Math.round(wait ?? backoff(this.#attempt++));
    this.#attemptTimer = setTimeout(() => this.#connect(), ms);
    const ended = verdict.next === 'afresh' && this.#session ? this.#endSession() : null;
    if (wasOpen) this.#emit('dropped', { code, reason });
    if (ended) this.#emit('lost', { reason: reason || `closed with ${code}`, sends: ended });
    if (!this.#socket) this.#emit('waiting', { ms, attempt: this.#attempt });
  }

  /** @param {number} code @param {string} reason */
  #finish(code, reason) {
    this.#state = 'closed';
    this.#pageEvents.abort();
    this.#detach(1000, reason);
    this.#emit('closed', { code, reason, sends: this.#endSession() });
  }

  /** Forgets the session; both counts start at 0 (§5). Returns what was never acknowledged. */
  #endSession() {
    const ended = this.#kept;
    for (const sent of ended) sent.state = 'lost';
    this.#kept = [];
    this.#session = null;
    this.#acknowledged = this.#written = this.#received = this.#reported = 0;
    return ended;
  }

  // ---- what arrives

  /**
   * What cannot be read ends the connection (§2, §3). A page may not close with a protocol code, so the server sees 1000,
   * the only code of a page that ends the session; the application is told the code that fits.
   * @param {unknown} data
   */
  #handleMessage(data) {
    this.#heardAt = performance.now();
    this.#answerBy = Infinity;
    if (typeof data !== 'string') return this.#finish(1008, 'a binary message in a text codec');
    let frame;
    try { frame = JSON.parse(data); } catch { return this.#finish(1007, 'not JSON'); }
    if (!isFrame(frame)) return this.#finish(1008, 'not a frame');
    const control = frame.event?.startsWith('$') ?? false;
    if ((this.#state === 'open') === (frame.event === '$open')) return this.#finish(1002, '$open must come first, and once');
    if (!control) this.#handleData(frame);
    else if (!this.#handleControl(frame)) this.#finish(1002, `malformed ${frame.event}`);
  }

  /** @param {Frame} frame */
  #handleData({ id, event, payload }) {
    this.#received += 1;
    this.#noteUnreported();
    this.#emit('message', { number: this.#received, id, event, payload });
    this.#acknowledge();
  }

  /** False for a malformed one; an unknown one is ignored (§3). @param {Frame} frame */
  #handleControl({ event, payload }) {
    switch (event) {
      case '$open': return isOpen(payload) && this.#handleOpen(payload);
      case '$ack': return this.#handleAck(payload);
      case '$gap': return this.#handleGap(payload ?? {});
      case '$ping': this.#transmit({ event: '$pong', payload });
    }
    return true;
  }

  /** @param {Open} open */
  #handleOpen({ session: token, id, room, resumed, received, window_ms: windowMs, buffer, lost }) {
    if (resumed && !this.#session) return false;
    const ended = !resumed && this.#session ? this.#endSession() : null;
    const covered = this.#cover(received);
    if (!covered) return false;
    clearTimeout(this.#attemptTimer);
    this.#session = { token, id, room, windowMs, buffer };
    this.#state = 'open';
    this.#openedAt = performance.now();
    this.#reported = this.#received; // the offer has acknowledged them (§4)
    this.#lifeTimer = setInterval(() => this.#checkLife(), 1000);
    const waited = this.#kept.filter((sent) => sent.state === 'queued');
    for (const sent of this.#kept) this.#write(sent); // §5: again, in order, before anything newer
    if (covered.length) this.#emit('acked', { upTo: received, sends: covered });
    if (ended) this.#emit('lost', { reason: lost ?? 'unknown', sends: ended });
    this.#emit(resumed ? 'restored' : 'open', { session: this.#session });
    if (waited.length) this.#emit('sent', { sends: waited });
    return true;
  }

  /** @param {unknown} upTo */
  #handleAck(upTo) {
    const covered = this.#cover(upTo);
    if (covered?.length) this.#emit('acked', { upTo, sends: covered });
    return covered !== null;
  }

  /** §4: a gap begins right after what was received, and counts as received. @param {{ from?: any, to?: any }} gap */
  #handleGap({ from, to }) {
    if (from !== this.#received + 1 || !isCount(to) || to < from) return false;
    this.#received = to;
    this.#noteUnreported();
    this.#emit('gap', { from, to });
    this.#acknowledge();
    return true;
  }

  /** Drops what the server has received; null if it cannot have (§4). @param {unknown} upTo @returns {Sent[] | null} */
  #cover(upTo) {
    if (!isCount(upTo) || upTo < this.#acknowledged || upTo > this.#written) return null;
    const covered = this.#kept.splice(0, upTo - this.#acknowledged);
    this.#acknowledged = upTo;
    for (const sent of covered) sent.state = 'acknowledged';
    return covered;
  }

  // ---- what leaves

  /** @param {Sent} sent */
  #write(sent) {
    this.#socket?.send(sent.text);
    this.#written = Math.max(this.#written, sent.number);
    sent.state = 'sent';
  }

  /** @param {Frame} control */
  #transmit(control) {
    this.#socket?.send(JSON.stringify(control));
  }

  #noteUnreported() {
    if (this.#ackTimer !== undefined) return;
    this.#oldestUnreported = performance.now();
    this.#ackTimer = setTimeout(() => this.#reportReceived(), ACK_DELAY);
  }

  /** §4: at a quarter of the buffer, or after a second; the clock is read too, as timers of a hidden page run late. */
  #acknowledge() {
    const quarter = Math.max(1, Math.floor(this.buffer / 4));
    const late = performance.now() - this.#oldestUnreported >= ACK_DELAY;
    if (late || this.#received - this.#reported >= quarter) this.#reportReceived();
  }

  #reportReceived() {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#state !== 'open' || this.#reported === this.#received) return; // never for nothing new
    this.#transmit({ event: '$ack', payload: this.#received });
    this.#reported = this.#received;
  }

  // ---- signs of life: a page sees no RFC 6455 pings, so it asks with `$ping` (§3, with the times of §8)

  #checkLife() {
    const now = performance.now();
    if (now >= this.#answerBy) this.#lose(GIVEN_UP, 'nothing arrived for too long');
    else if (this.#answerBy === Infinity && now - this.#heardAt >= PING_AFTER) this.#probe(GIVE_UP_AFTER - PING_AFTER);
  }

  /** @param {number} patience */
  #probe(patience) {
    this.#transmit({ event: '$ping', payload: 0 });
    this.#answerBy = Math.min(this.#answerBy, performance.now() + patience);
  }

  /** The page is looked at again, or the network is back: is the socket still one? @param {boolean} online */
  #handleWake(online) {
    if (this.#state === 'open') return this.#probe(WAKE_PATIENCE);
    if (!online || this.#socket || this.#waitIsImposed) return;
    clearTimeout(this.#attemptTimer);
    this.#connect();
  }

  /** @param {string} type @param {object} detail */
  #emit(type, detail) {
    if (this.#state !== 'closed' || type === 'closed') this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * What a close asks of the client (§7): to resume the session, to begin afresh, or never to connect again.
 * @param {number} code @param {string} reason @returns {{ next: 'resume' | 'afresh' | 'never', wait?: number }}
 */
function afterClose(code, reason) {
  switch (code) {
    case 1000: case 1002: case 1007: case 1008: case 1009: case 4000:
      return { next: 'never' };
    case 1001: case 1011:
      return { next: 'afresh' };
    case 1012: {
      const told = /^retry in (\d+) ms$/.exec(reason);
      return { next: 'resume', wait: told ? Math.min(Number(told[1]), DAY) * (1 + Math.random() / 4) : undefined };
    }
    default:
      return { next: 'resume' };
  }
}

/** @param {number} attempt */
function backoff(attempt) {
  return Math.min(BACKOFF_BASE * 2 ** attempt, BACKOFF_MAX) * (0.5 + Math.random() / 2);
}

/** @param {unknown} value @returns {value is number} */
function isCount(value) {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** A string or absent; null is neither (§2). @param {unknown} value @returns {value is string | undefined} */
function isText(value) {
  return value === undefined || typeof value === 'string';
}

/** @param {any} value @returns {value is Frame} */
function isFrame(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && isText(value.id) && isText(value.event);
}

/**
 * The payload of `$open` (§3).
 * @typedef {{ session: string, id: string, room: string, resumed: boolean, received: number, window_ms: number,
 *   buffer: number, lost?: string }} Open
 * @param {any} p @returns {p is Open}
 */
function isOpen(p) {
  return /^[A-Za-z0-9_-]{22,64}$/.test(p?.session) && typeof p.id === 'string' && typeof p.room === 'string'
    && typeof p.resumed === 'boolean' && isCount(p.received) && isCount(p.window_ms) && isCount(p.buffer);
}

const CODEC = 'rejoin.v1.json';

// Close codes of our own, which suspend the session and do not end it (§7: any other).
const CUT = 4001;
const GIVEN_UP = 4002;
/** What browsers report for a socket that was lost without a close frame (RFC 6455 §7.1.5). */
const LOST = 1006;

// Milliseconds, but for the buffer, which counts frames.
const BUFFER_UNTIL_OPEN = 64;
const BACKOFF_BASE = 500;
const BACKOFF_MAX = 30_000;
const OPEN_TIMEOUT = 15_000;
const ACK_DELAY = 1000;
const PING_AFTER = 20_000;
const GIVE_UP_AFTER = 60_000;
const WAKE_PATIENCE = 5000;
const DAY = 86_400_000;
