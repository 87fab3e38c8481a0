// @ts-check
/**
 * rejoin's session mode for browsers, with the json codec. Implements PROTOCOL.md, version 1; comments name its sections (§).
 * One file without dependencies: use it unchanged, or copy it. `tests/vectors/client` has its test vectors.
 *
 *     const connection = new Rejoin('wss://example.org/ws?room=tea');
 *     connection.addEventListener('message', ({ detail }) => console.log(detail.event, detail.payload));
 *     connection.send({ event: 'say', payload: { text: 'hello' } });
 *
 * Every event is a `CustomEvent`; its `detail`:
 *
 * | event      | detail                             | meaning                                                            |
 * |------------|------------------------------------|--------------------------------------------------------------------|
 * | `open`     | `{ session }`                      | a fresh session: the first one, or the one after `lost`            |
 * | `message`  | `{ number, …frame }`               | a data frame, exactly once and in order                            |
 * | `answer`   | `{ number, re, …frame }`           | an answer to the sent frame with the id `re`; `more` follow or not  |
 * | `sent`     | `{ sends }`                        | frames that waited for a socket were written to one                |
 * | `acked`    | `{ upTo, sends }`                  | the server has received every frame up to number `upTo`            |
 * | `refused`  | `{ limit, sends }`                 | frames queued before the first `$open` exceed `limit` bytes: not sent |
 * | `dropped`  | `{ code, reason }`                 | the socket is lost; the session may continue                       |
 * | `waiting`  | `{ ms, attempt, code, reason }`    | the next dial starts in `ms`; the end of the last socket or dial   |
 * | `restored` | `{ session }`                      | the session continues on a new socket                              |
 * | `gap`      | `{ from, to }`                     | the frames with these numbers will never arrive                    |
 * | `lost`     | `{ reason, sends }`                | the session has ended; `sends` were never acknowledged             |
 * | `closed`   | `{ code, reason, sends }`          | the end, without further dials; `sends` were never acknowledged    |
 *
 * An event that a listener causes, for example with `close()`, is dispatched after all earlier events have reached all listeners.
 *
 * Payloads pass through `JSON.parse`: an integer beyond 2^53 loses its last digits here. Send such numbers as strings.
 *
 * @typedef {{ id?: string, event?: string, payload?: any, re?: string, more?: boolean, volatile?: boolean, room?: string }} Frame
 * @typedef {{ token: string, id: string, room: string, windowMs: number, buffer: number, bufferBytes: number,
 *   maxMessage: number }} Session
 * @typedef {'connecting' | 'open' | 'away' | 'closed'} State
 *
 * The result of `send`. `number` counts within the session (§4); `text` is the WebSocket message, `size` its length in
 * bytes; `state` changes as the frame is sent and acknowledged.
 * @typedef {{ number: number, frame: Frame, text: string, size: number,
 *   state: 'queued' | 'sent' | 'acknowledged' | 'refused' | 'lost' }} Sent
 */
export class Rejoin extends EventTarget {
  #url;
  /** The limits of what this side keeps for replay (§4). */
  #limits;
  /** The current socket. Events of any other socket are ignored. @type {WebSocket | null} */
  #socket = null;
  /** @type {State} */
  #state = 'connecting';
  /** Dials since a connection that lasted, and whether the server (or `cutFor`) set the current wait. */
  #attempt = 0;
  #token;
  /** Identifies the current call of the source of tokens. The answer to an earlier call is ignored. @type {object | null} */
  #asked = null;
  #waitIsImposed = false;
  #openedAt = 0;
  /** Whether a dial that offered a resume was abandoned. The server may still act on it, and then closes the next socket. */
  #strayDial = false;
  /** Events that have not been dispatched yet. @type {CustomEvent[]} */
  #events = [];

  // The session, across all its sockets. Invariant: #kept holds the frames #acknowledged + 1, + 2, … without a hole,
  // and #acknowledged <= #written <= #acknowledged + #kept.length.
  /** @type {Session | null} */
  #session = null;
  /** @type {Sent[]} */
  #kept = [];
  #keptBytes = 0;
  #acknowledged = 0; // the number of our frames that the server has acknowledged
  #written = 0; // the highest number of our frames that was written to any socket
  #received = 0; // the number of the server's frames that we have received
  #reported = 0; // the part of #received that the server knows; between sockets all of it, because the offer names it

  // The current socket. Times are `performance.now()`.
  #unreportedBytes = 0;
  #oldestUnreported = 0;
  /** Whether `$sync` was sent and no `$ack` since has acknowledged anything new. */
  #synced = false;
  #heardAt = 0;
  #answerBy = Infinity;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #ackTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #lifeTimer;
  /** Ends a wait, or a dial that takes too long. @type {ReturnType<typeof setTimeout> | undefined} */
  #attemptTimer;
  #pageEvents = new AbortController();

  /**
   * Starts connecting at once.
   * @param {string | URL} url `ws:` or `wss:`; it must identify the same client and room for the whole session (§5)
   * @param {{ buffer?: number, bufferBytes?: number, token?: string | (() => string | PromiseLike<string>) }} [options]
   *   `buffer` and `bufferBytes`: the maximum of frames and bytes kept for replay: 256 and 1 MiB by default, or less if the server
   *   keeps less. `send` throws beyond them. `token`: credentials, at most 3,072 bytes, or a function that is called for fresh
   *   ones before every dial, also after the server has closed with 3000 `credentials expired`. If it fails, the dial has failed.
   *   A page cannot set headers, and a URL ends up in logs; the token travels as a subprotocol (§1).
   */
  constructor(url, { buffer = 256, bufferBytes = 1 << 20, token } = {}) {
    super();
    if (!isCount(buffer) || buffer < 1) throw new RangeError(`invalid buffer: ${buffer} (expected 1 frame or more)`);
    if (!isCount(bufferBytes) || bufferBytes < 1) throw new RangeError(`invalid bufferBytes: ${bufferBytes} (expected 1 or more)`);
    this.#url = url;
    if (typeof token === 'string' && !isToken(token)) throw new RangeError('invalid token (expected 1 to 3,072 bytes)');
    this.#limits = { buffer, bufferBytes };
    this.#token = token;
    this.#connect();
    const { signal } = this.#pageEvents;
    addEventListener('online', () => this.#handleWake(), { signal });
    document.addEventListener('visibilitychange', () => document.hidden || this.#handleWake(), { signal });
  }

  get state() { return this.#state; }
  get session() { return this.#session; }
  /** The number of frames that are not yet acknowledged. */
  get pending() { return this.#kept.length; }
  /** The limit of `pending` (§4). Before the first `$open`, which states the session's limit, a small one. */
  get buffer() { return Math.min(this.#limits.buffer, this.#session?.buffer ?? BUFFER_UNTIL_OPEN); }
  /** The limit of their bytes. A single frame may exceed it if no other frame is kept. */
  get bufferBytes() { return Math.min(this.#limits.bufferBytes, this.#session?.bufferBytes ?? Infinity); }

  /**
   * Accepts a frame for delivery. Without a socket the frame is kept, and written after the resume.
   * Throws, without sending anything, when the connection is closed, the frame is invalid or larger than the server accepts (a
   * `RangeError` with `size` and `limit` in bytes), or the buffer of unacknowledged frames is full.
   * @param {Frame} frame @returns {Sent}
   */
  send({ id, event, payload, re, more }) {
    if (!isText(re) || !isFlag(more)) throw new TypeError('re must be a string and more a boolean');
    if (!isText(id) || !isText(event)) throw new TypeError('id and event must be strings');
    // A lone surrogate has no encoding in UTF-8: the server would close the connection (§2).
    if (HALF_CHARACTER.test(`${id}${event}${re}`)) throw new TypeError('id, event and re must not contain lone surrogates');
    if (event?.startsWith('$')) throw new Error(`events that begin with $ belong to the protocol: ${event}`); // §3
    const frame = { re: re || undefined, more: more || undefined, id: id || undefined, event: event || undefined, payload };
    const text = JSON.stringify(frame); // first, because `toJSON` of a payload may send or close
    const size = byteLength(text);
    const limit = this.#session?.maxMessage ?? Infinity;
    if (this.#state === 'closed') throw new Error('the connection is closed');
    if (size > limit) {
      throw Object.assign(new RangeError(`frame too big: ${size} bytes (the server accepts ${limit})`), { size, limit });
    }
    const { length } = this.#kept;
    if (length >= this.buffer || (length && this.#keptBytes + size > this.bufferBytes)) {
      this.#sync();
      throw new Error(`the buffer is full: ${length} frames are unacknowledged`);
    }
    /** @type {Sent} */
    const sent = { number: this.#acknowledged + length + 1, frame, text, size, state: 'queued' };
    this.#kept.push(sent);
    this.#keptBytes += size;
    if (this.#state === 'open') {
      this.#write(sent);
      this.#syncAtHalf();
    }
    return sent;
  }

  /** Ends the session (§7: 1000). While away, the server cannot be notified, and ends the session after its window. */
  close() {
    if (this.#state !== 'closed') this.#finish(1000, '');
  }

  /** For tests and demonstrations: drops the socket. The session continues on the next one. */
  cut() {
    if (this.#state === 'closed') return;
    this.#attempt = 0; // the server did nothing wrong
    this.#lose(CUT, 'cut');
  }

  /** The same, without an attempt to connect for the given time. @param {number} ms */
  cutFor(ms) {
    if (this.#state !== 'closed') this.#lose(CUT, 'cut', ms);
  }

  // ---- opening and losing sockets

  /** Dials, first asking the application's source for a token if there is one. */
  #connect() {
    this.#attemptTimer = setTimeout(() => this.#lose(GIVEN_UP, 'no $open in time'), OPEN_TIMEOUT);
    if (typeof this.#token !== 'function') return this.#dial(this.#token);
    const asked = this.#asked = {};
    /** @param {unknown} [token] */
    const answer = (token) => {
      if (asked !== this.#asked) return;
      if (isToken(token)) this.#dial(token);
      else this.#retry(GIVEN_UP, 'no token', { next: 'resume' });
    };
    /** @type {any} */
    let token;
    try { token = this.#token(); } catch { return answer(); }
    if (typeof token?.then === 'function') token.then(answer, () => answer());
    else answer(token);
  }

  /** @param {string} [token] */
  #dial(token) {
    this.#asked = null;
    const offers = [CODEC];
    if (this.#session) offers.push(`rejoin.resume.${this.#session.token}.${this.#received}`); // §5
    if (token !== undefined) offers.push(`rejoin.auth.${base64url(token)}`); // §1
    const socket = new WebSocket(this.#url, offers);
    this.#socket = socket;
    socket.onmessage = ({ data }) => { if (socket === this.#socket) this.#handleMessage(data); };
    // A page cannot see the HTTP status of a refused upgrade. It looks like a lost socket, so the client dials again.
    socket.onclose = ({ code, reason }) => { if (socket === this.#socket) this.#handleClose(code, reason); };
  }

  /** Detaches the socket without waiting for its close handshake. @param {number} code @param {string} reason */
  #detach(code, reason) {
    this.#reportReceived(); // §7: acknowledge before our close frame
    clearTimeout(this.#attemptTimer);
    clearInterval(this.#lifeTimer);
    const socket = this.#socket;
    this.#socket = null;
    this.#asked = null;
    socket?.close(code, reason);
  }

  /** @param {number} code one that suspends the session (§7: any other) @param {string} reason @param {number} [wait] */
  #lose(code, reason, wait) {
    if (this.#socket) this.#noteStrayDial();
    this.#detach(code, reason);
    this.#retry(code, reason, { next: 'resume', wait });
  }

  /** §5: the server may act late on an abandoned dial, and close the socket of the next one with 4000. */
  #noteStrayDial() {
    if (this.#state === 'away' && this.#session) this.#strayDial = true;
  }

  /** §7, the column 'the client'. @param {number} code @param {string} reason */
  #handleClose(code, reason) {
    const dueToStray = code === 4000 && this.#strayDial;
    if (dueToStray || this.#state === 'open') this.#strayDial = false; // one 4000, of the socket after the stray dial
    if (code === LOST) this.#noteStrayDial();
    const verdict = dueToStray ? afterClose(LOST, reason) : afterClose(code, reason);
    if (verdict.next === 'never') this.#finish(code, reason);
    else this.#retry(code, reason, verdict);
  }

  /**
   * Dials again after `wait` (exactly), after `hint` or later, or after the backoff.
   * @param {number} code @param {string} reason @param {{ next: string, wait?: number, hint?: number }} verdict
   */
  #retry(code, reason, { next, wait, hint }) {
    const wasOpen = this.#state === 'open';
    this.#detach(CUT, '');
    if (wasOpen) {
      this.#state = 'away';
      // Keep the backoff for a connection that did not last, or a server that opens and drops would be dialled twice a second.
      if (performance.now() - this.#openedAt >= LASTED) this.#attempt = 0;
    }
    this.#waitIsImposed = (wait ?? hint) !== undefined || code === 1013;
    const ms = wait ?? Math.ceil(Math.max(hint ?? 0, backoff(this.#attempt++)));
    this.#attemptTimer = setTimeout(() => this.#connect(), ms);
    const ended = next === 'afresh' && this.#session ? this.#endSession() : null;
    this.#emit(
      wasOpen && ['dropped', { code, reason }],
      ended && ['lost', { reason: reason || `closed with ${code}`, sends: ended }],
      ['waiting', { ms, attempt: this.#attempt, code, reason }],
    );
  }

  /** @param {number} code @param {string} reason */
  #finish(code, reason) {
    this.#detach(1000, reason);
    this.#state = 'closed';
    this.#pageEvents.abort();
    this.#emit(['closed', { code, reason, sends: this.#endSession() }]);
  }

  /** Forgets the session; both counts start at 0 (§5). Returns the unacknowledged frames. */
  #endSession() {
    const ended = this.#kept;
    for (const sent of ended) sent.state = 'lost';
    this.#kept = [];
    this.#keptBytes = 0;
    this.#session = null;
    this.#acknowledged = this.#written = this.#received = this.#reported = 0;
    return ended;
  }

  // ---- receiving

  /**
   * A message that cannot be read ends the connection (§2, §3). A page cannot close with a protocol code, so the server
   * sees 1000, the only code of a page that ends the session; the application sees the code that fits.
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
    if (!control) this.#handleData(frame, byteLength(data));
    else if (!this.#handleControl(frame)) this.#finish(1002, `malformed ${frame.event}`);
  }

  /** @param {Frame} frame @param {number} size */
  #handleData({ id, event, payload, re, more, volatile, room }, size) {
    if (!volatile) { // a volatile frame has no number (§12)
      this.#received += 1;
      this.#noteUnreported(size);
    }
    const number = volatile ? undefined : this.#received;
    const rare = { re: re || undefined, more: more || undefined, volatile: volatile || undefined, room: room || undefined };
    const type = re ? 'answer' : 'message'; // an answer is never a message (§11)
    this.#emit([type, { number, ...rare, id: id || undefined, event: event || undefined, payload }]);
    this.#acknowledge();
  }

  /** Returns false for a malformed frame. An unknown event is ignored (§3). @param {Frame} frame */
  #handleControl({ event, payload }) {
    switch (event) {
      case '$open': return isOpen(payload) && this.#handleOpen(payload);
      case '$ack': return this.#handleAck(payload);
      case '$gap': return this.#handleGap(payload ?? {});
      case '$sync': this.#reportReceived(true); break;
      case '$ping': this.#transmit(JSON.stringify({ event: '$pong', payload }));
    }
    return true;
  }

  /** @param {Open} open */
  #handleOpen({ session: token, id, room, resumed, received, lost, ...bounds }) {
    if (this.#socket?.protocol !== CODEC || (resumed && token !== this.#session?.token)) return false;
    if (resumed && received < this.#acknowledged) return this.#abandon();
    const ended = !resumed && this.#session ? this.#endSession() : null;
    const covered = this.#cover(received);
    if (!covered) return false;
    clearTimeout(this.#attemptTimer);
    const { window_ms: windowMs, buffer, buffer_bytes: bufferBytes = 1 << 20, max_message: maxMessage = Infinity } = bounds;
    // §4: a buffer of 0 reads as 1
    this.#session = { token, id, room, windowMs, buffer: Math.max(1, buffer), bufferBytes, maxMessage };
    this.#state = 'open';
    this.#openedAt = performance.now();
    this.#synced = false;
    this.#lifeTimer = setInterval(() => this.#checkLife(), 1000);
    const refused = resumed ? [] : this.#refuse(maxMessage);
    const waited = this.#kept.filter((sent) => sent.state === 'queued');
    for (const sent of this.#kept) this.#write(sent); // §5: again, in order, before anything newer
    this.#syncAtHalf();
    this.#emit(
      covered.length && ['acked', { upTo: received, sends: covered }],
      ended && ['lost', { reason: lost ?? 'unknown', sends: ended }],
      [resumed ? 'restored' : 'open', { session: this.#session }],
      refused.length && ['refused', { limit: maxMessage, sends: refused }],
      waited.length && ['sent', { sends: waited }],
    );
    return true;
  }

  /** §5: the server has forgotten frames that it acknowledged. Ends its session, and reports ours as lost. */
  #abandon() {
    this.#detach(1000, 'session lost');
    this.#retry(LOST, 'unknown', { next: 'afresh' });
    return true;
  }

  /** Removes frames that the server does not accept. Renumbering is safe because no frame was written yet. @param {number} limit */
  #refuse(limit) {
    const refused = this.#kept.filter(({ size }) => size > limit);
    if (refused.length === 0) return refused;
    this.#kept = this.#kept.filter(({ size }) => size <= limit);
    this.#kept.forEach((sent, index) => { sent.number = index + 1; });
    for (const sent of refused) {
      this.#keptBytes -= sent.size;
      sent.state = 'refused';
    }
    return refused;
  }

  /** @param {unknown} upTo */
  #handleAck(upTo) {
    const covered = this.#cover(upTo);
    if (!covered) return false;
    if (covered.length) this.#synced = false;
    this.#syncAtHalf();
    this.#emit(covered.length && ['acked', { upTo, sends: covered }]);
    return true;
  }

  /** §4: a gap begins right after the last received frame, and counts as received. @param {{ from?: any, to?: any }} gap */
  #handleGap({ from, to }) {
    if (from !== this.#received + 1 || !isCount(to) || to < from) return false;
    this.#received = to;
    this.#noteUnreported(0);
    this.#emit(['gap', { from, to }]);
    this.#acknowledge();
    return true;
  }

  /** Drops the frames that the server has received. Returns null for an impossible number (§4). @param {unknown} upTo @returns {Sent[] | null} */
  #cover(upTo) {
    if (!isCount(upTo) || upTo < this.#acknowledged || upTo > this.#written) return null;
    const covered = this.#kept.splice(0, upTo - this.#acknowledged);
    this.#acknowledged = upTo;
    for (const sent of covered) {
      this.#keptBytes -= sent.size;
      sent.state = 'acknowledged';
    }
    return covered;
  }

  // ---- sending

  /** @param {Sent} sent */
  #write(sent) {
    if (!this.#transmit(sent.text)) return;
    this.#written = Math.max(this.#written, sent.number);
    sent.state = 'sent';
  }

  /** Returns false when the socket is already closing. @param {string} text */
  #transmit(text) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(text);
    return true;
  }

  /** §4: own limits below the session's would be reached before the server acknowledges by itself. */
  #syncAtHalf() {
    const { buffer, bufferBytes } = this.#limits;
    const due = (buffer < (this.#session?.buffer ?? 0) && this.#written - this.#acknowledged >= buffer / 2)
      || (bufferBytes < (this.#session?.bufferBytes ?? 0) && this.#keptBytes >= bufferBytes / 2);
    if (due) this.#sync();
  }

  /** §4: asks for an `$ack`, once: a server that has not yet counted the frames acknowledges them later, unasked. */
  #sync() {
    if (this.#state === 'open' && !this.#synced) this.#synced = this.#transmit('{"event":"$sync"}');
  }

  /** @param {number} size */
  #noteUnreported(size) {
    this.#unreportedBytes += size;
    if (this.#ackTimer !== undefined) return;
    this.#oldestUnreported = performance.now();
    this.#ackTimer = setTimeout(() => this.#reportReceived(), ACK_DELAY);
  }

  /** §4: at a quarter of the buffer, or after a second. Also reads the clock, because timers of a hidden page run late. */
  #acknowledge() {
    if (!this.#session) return; // a listener closed the connection
    const late = performance.now() - this.#oldestUnreported >= ACK_DELAY;
    if (late || this.#received - this.#reported >= quarter(this.#session.buffer)
      || this.#unreportedBytes >= quarter(this.#session.bufferBytes)) this.#reportReceived();
  }

  /** @param {boolean} [asked] by `$sync`, which is answered even if there is nothing new */
  #reportReceived(asked = false) {
    clearTimeout(this.#ackTimer);
    this.#ackTimer = undefined;
    if (this.#state !== 'open' || (this.#reported === this.#received && !asked)) return;
    this.#transmit(JSON.stringify({ event: '$ack', payload: this.#received }));
    this.#reported = this.#received;
    this.#unreportedBytes = 0;
  }

  // ---- heartbeat: a page cannot see RFC 6455 pings, so it sends `$ping` (§3, with the times of §8)

  #checkLife() {
    const now = performance.now();
    if (now >= this.#answerBy) this.#lose(GIVEN_UP, 'nothing arrived for too long');
    else if (this.#answerBy === Infinity && now - this.#heardAt >= PING_AFTER) this.#probe(GIVE_UP_AFTER - PING_AFTER);
  }

  /** @param {number} patience */
  #probe(patience) {
    this.#transmit('{"event":"$ping","payload":0}');
    this.#answerBy = Math.min(this.#answerBy, performance.now() + patience);
  }

  /** The page is visible again, or the network is back. Probes the socket, or dials without waiting longer. */
  #handleWake() {
    if (this.#state === 'open') return this.#probe(WAKE_PATIENCE);
    if (this.#socket || this.#asked || this.#waitIsImposed) return;
    clearTimeout(this.#attemptTimer);
    this.#connect();
  }

  /** Call it last: a listener may call any method. @param {(false | null | 0 | [string, object])[]} events */
  #emit(...events) {
    const inListener = this.#events.length > 0; // the loop below, further up the stack, dispatches them
    for (const event of events) if (event) this.#events.push(new CustomEvent(event[0], { detail: event[1] }));
    if (inListener) return;
    for (; this.#events.length; this.#events.shift()) this.dispatchEvent(this.#events[0]);
  }
}

/**
 * The client's reaction to a close frame (§7): resume the session, connect to a fresh one, or never connect again.
 * @param {number} code @param {string} reason @returns {{ next: 'resume' | 'afresh' | 'never', hint?: number }}
 */
function afterClose(code, reason) {
  switch (code) {
    case 1000: case 1002: case 1007: case 1008: case 1009: case 3003: case 4000:
      return { next: 'never' };
    case 1001: // Firefox reports 1001 when a navigation turns out to be a download. The server then keeps the session.
      return { next: reason === 'server shutting down' ? 'afresh' : 'resume' };
    case 1011:
      return { next: 'afresh' };
    case 1012: {
      const named = /^retry in (\d+) ms$/.exec(reason);
      return { next: 'resume', hint: named ? Math.min(Number(named[1]), DAY) * (1 + Math.random() / 4) : undefined };
    }
    default:
      return { next: 'resume' };
  }
}

/** @param {number} attempt */
function backoff(attempt) {
  return Math.min(BACKOFF_BASE * 2 ** attempt, BACKOFF_MAX) * (0.5 + Math.random() / 2);
}

/** A quarter, and at least one (§4). @param {number} bound */
function quarter(bound) {
  return Math.max(1, Math.floor(bound / 4));
}

/** The size of the WebSocket message. @param {string} text */
function byteLength(text) {
  return UTF8.encode(text).length;
}

/** Base64url without padding, of the text as UTF-8 (§1). @param {string} text */
function base64url(text) {
  const encoded = btoa(String.fromCharCode(...UTF8.encode(text)));
  return encoded.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** Whether it can be offered: 4,096 characters in base64 at most (§1). @param {unknown} value @returns {value is string} */
function isToken(value) {
  return typeof value === 'string' && value !== '' && byteLength(value) <= 3072;
}

/** @param {unknown} value @returns {value is number} */
function isCount(value) {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

/** A count or absent (§3, §4). @param {unknown} value @returns {value is number | undefined} */
function isBound(value) {
  return value === undefined || isCount(value);
}

/** A string or absent; null is neither (§2). @param {unknown} value @returns {value is string | undefined} */
function isText(value) {
  return value === undefined || typeof value === 'string';
}

/** A boolean or absent; null is neither (§2). @param {unknown} value @returns {value is boolean | undefined} */
function isFlag(value) {
  return value === undefined || typeof value === 'boolean';
}

/** @param {any} value @returns {value is Frame} */
function isFrame(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && isText(value.id) && isText(value.event)
    && isText(value.re) && isText(value.room) && isFlag(value.more) && isFlag(value.volatile);
}

/**
 * The payload of `$open` (§3).
 * @typedef {{ session: string, id: string, room: string, resumed: boolean, received: number, window_ms: number,
 *   buffer: number, buffer_bytes?: number, max_message?: number, lost?: string }} Open
 * @param {any} p @returns {p is Open}
 */
function isOpen(p) {
  return /^[A-Za-z0-9_-]{22,64}$/.test(p?.session) && typeof p.id === 'string' && typeof p.room === 'string'
    && typeof p.resumed === 'boolean' && isCount(p.received) && isCount(p.window_ms) && isCount(p.buffer)
    && isBound(p.buffer_bytes) && isBound(p.max_message) && isText(p.lost);
}

const CODEC = 'rejoin.v1.json';
const UTF8 = new TextEncoder();
const HALF_CHARACTER = /\p{Surrogate}/u;

// Our own close codes. They suspend the session instead of ending it (§7: any other code).
const CUT = 4001;
const GIVEN_UP = 4002;
/** The code that browsers report for a socket lost without a close frame (RFC 6455 §7.1.5). */
const LOST = 1006;

// In milliseconds, except for the buffer, which is in frames.
const BUFFER_UNTIL_OPEN = 64;
const BACKOFF_BASE = 500;
const BACKOFF_MAX = 30_000;
const LASTED = 10_000; // after a connection of this length the backoff restarts
const OPEN_TIMEOUT = 15_000;
const ACK_DELAY = 1000;
const PING_AFTER = 20_000;
const GIVE_UP_AFTER = 60_000;
const WAKE_PATIENCE = 5000;
const DAY = 86_400_000;
