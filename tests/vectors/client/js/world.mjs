/**
 * A page's surroundings for one vector: a fake clock, fake timers, a fake WebSocket, and a record of everything that the
 * client does. The package is the body of a function whose parameters hide the globals of the same names.
 */
const URL_TEXT = 'wss://example.org/ws';

/** `Date.now()` when the clock of the vectors is at 0. */
const EPOCH = 1_700_000_000_000;

/** Promises of the client go on before the next step. */
const settle = () => new Promise((resolve) => { setImmediate(resolve); });

export class World {
  #now = 0;
  #timers = new Map();
  #timerIds = 0;
  #pageListeners = [];
  #sockets = [];
  #document;
  #connect;
  #client = null;
  #reactions = [];
  #askedFor = [];
  /** The ids that the client chose for its questions. The vectors call them `ask-1`, `ask-2`, …. @type {string[]} */
  #ids = [];
  #asks = 0;
  #frames = null;
  /** What the client did, in order: `{ at, see, … }`. */
  seen = [];

  /** @param {string} source the package as one script, whose exports are the variable `rejoin` @param {number} random what every draw of a random number gives */
  constructor(source, random) {
    const world = this;
    const listen = (type, listener, { signal } = {}) => this.#pageListeners.push({ type, listener, signal });
    class WebSocket {
      static OPEN = 1;
      readyState = 0;
      protocol = '';
      bufferedAmount = 0;
      constructor(url, offers) {
        if (url !== URL_TEXT) throw new Error(`SyntaxError: not the URL of the connection: ${url}`);
        world.#sockets.push(this);
        world.#see('dial', { offers: [...offers] });
      }
      send(text) {
        if (this.readyState === 0) throw new Error('InvalidStateError: the socket is still connecting');
        if (this.readyState === 1) world.#see('write', { frame: world.#ownNames(JSON.parse(text)) });
      }
      close(code, reason = '') {
        if (code !== 1000 && !(code >= 3000 && code <= 4999)) throw new Error(`InvalidAccessError: a page cannot close with ${code}`);
        if (new TextEncoder().encode(reason).length > 123) throw new Error('SyntaxError: the reason is too long');
        if (this.readyState >= 2) return;
        this.readyState = 2;
        world.#see('close', { code });
      }
    }
    const surroundings = {
      WebSocket,
      addEventListener: listen,
      document: this.#document = { hidden: false, addEventListener: listen },
      performance: { now: () => this.#now },
      Date: { now: () => EPOCH + this.#now },
      navigator: undefined, sessionStorage: undefined, location: undefined,
      setTimeout: (run, ms, ...parameters) => this.#addTimer(() => run(...parameters), ms),
      setInterval: (run, ms) => this.#addTimer(run, ms, ms),
      clearTimeout: (id) => this.#timers.delete(id),
      clearInterval: (id) => this.#timers.delete(id),
      Math: Object.assign(Object.create(Math), { random: () => random }),
    };
    Object.assign(surroundings, { globalThis: surroundings });
    this.#connect = compile(source, Object.keys(surroundings))(...Object.values(surroundings)).connect;
  }

  /** Runs the timers that are due until then, each at its time. @param {number} at */
  async advance(at) {
    for (;;) {
      await settle();
      const due = [...this.#timers].filter(([, timer]) => timer.at <= at).sort(([, a], [, b]) => a.at - b.at)[0];
      if (!due) break;
      const [id, timer] = due;
      this.#now = Math.max(this.#now, timer.at);
      if (timer.every === undefined) this.#timers.delete(id);
      else timer.at = this.#now + timer.every;
      timer.run();
    }
    this.#now = Math.max(this.#now, at);
  }

  /** Time passes and no timer runs, as in a page that is hidden or asleep. @param {number} at */
  stall(at) {
    this.#now = Math.max(this.#now, at);
  }

  /** One input of a vector; README.md says what each is. */
  async do(step) {
    if (typeof this[`do_${step.do}`] !== 'function') throw new Error(`no such input: ${step.do}`);
    this[`do_${step.do}`](step);
    await settle();
  }

  do_connect({ buffer, buffer_bytes: bufferBytes, token, tokens }) {
    const left = tokens && [...tokens];
    const options = { buffer, bufferBytes, token: left ? () => this.#nextToken(left) : token };
    try {
      this.#client = this.#connect(URL_TEXT, options);
    } catch (error) {
      return this.#see('error', nameOf(error));
    }
    this.#client.on('*', (message) => this.#handleEvent('message', message));
    for (const type of ['open', 'answer', 'sent', 'acked', 'refused', 'dropped', 'waiting', 'restored', 'gap', 'lost', 'closed']) {
      this.#client.on(`$${type}`, (detail) => this.#handleEvent(type, detail));
    }
  }

  /** The application's source of tokens. */
  #nextToken(tokens) {
    this.#see('ask', {});
    const token = tokens.shift();
    if (token === null) throw new Error('no token');
    return token?.later ? { then: (done, failed) => this.#askedFor.push({ done, failed }) } : token;
  }

  do_token({ token, ask = this.#askedFor.length - 1 }) {
    const { done, failed } = this.#askedFor[ask];
    if (token === undefined) failed(new Error('no token'));
    else done(token);
  }

  do_accept({ protocol = 'rejoin.v1.json' }) {
    const socket = this.#sockets.at(-1);
    socket.protocol = protocol;
    socket.readyState = 1;
    socket.onopen?.({});
  }

  do_receive({ socket, frame, text, binary }) {
    const data = binary === undefined ? text ?? JSON.stringify(this.#realIds(frame)) : new Uint8Array(Buffer.from(binary, 'base64')).buffer;
    this.#socket(socket).onmessage({ data });
  }

  do_end({ socket: index, code, reason = '' }) {
    const socket = this.#socket(index);
    socket.readyState = 3;
    socket.onclose({ code, reason });
  }

  /** The peer's close frame is there, the end of the socket is not yet. */
  do_closing() {
    this.#sockets.at(-1).readyState = 2;
  }

  do_send({ frame, number }) {
    const { event, payload, ...options } = Object.fromEntries(Object.entries(frame).map(([name, value]) => [name, fromUtf16(value)]));
    try {
      const sent = this.#client.send(event, payload, options);
      if (sent.state === 'lost') this.#see('error', nameOf(sent.error));
      else if (number !== undefined && sent.number !== number) this.#see('error', { error: `numbered ${sent.number}` });
    } catch (error) {
      this.#see('error', nameOf(error));
    }
  }

  /** The application asks the server. */
  do_ask({ event, payload, timeout }) {
    this.#asks += 1;
    const ask = `ask-${this.#asks}`;
    this.#client.ask(event, payload, { timeout }).then(
      (answer) => this.#see('answered', { ask, payload: answer }),
      ({ code, reason }) => this.#see('failed', { ask, error: code ?? reason }),
    );
  }

  /** The application reads frames one by one, and has capacity for `limit` of them. */
  do_frames({ limit }) {
    this.#frames = this.#client.frames({ limit });
  }

  do_take() {
    this.#frames.next().then(({ value }) => this.#see('taken', { payload: value.payload }));
  }

  do_close() {
    this.#client.close();
  }

  do_cut({ ms }) {
    this.#client.cut(ms);
  }

  do_online() {
    this.#page('online');
  }

  do_show() {
    this.#document.hidden = false;
    this.#page('visibilitychange');
  }

  do_hide() {
    this.#document.hidden = true;
    this.#page('visibilitychange');
  }

  /** The application's listener for the next such event does this. */
  do_when({ type, then }) {
    this.#reactions.push({ type, then });
  }

  do_nothing() {}

  #socket(index) {
    return index === undefined ? this.#sockets.at(-1) : this.#sockets[index];
  }

  /** A frame whose ids are those of the vectors. */
  #ownNames(frame) {
    const own = (id) => {
      if (!this.#ids.includes(id)) return id;
      return `ask-${this.#ids.indexOf(id) + 1}`;
    };
    if (frame.id !== undefined && !frame.re && this.#ids.length < this.#asks && !this.#ids.includes(frame.id)) this.#ids.push(frame.id);
    if (frame.event === '$cancel') return { ...frame, payload: { id: own(frame.payload.id) } };
    return frame.id === undefined ? frame : { ...frame, id: own(frame.id) };
  }

  /** A frame whose `re` is what the client knows. */
  #realIds(frame) {
    const number = /^ask-(\d+)$/.exec(frame?.re ?? '')?.[1];
    return number ? { ...frame, re: this.#ids[number - 1] } : frame;
  }

  #page(type) {
    for (const entry of this.#pageListeners) if (entry.type === type && !entry.signal?.aborted) entry.listener({});
  }

  #addTimer(run, ms, every) {
    if (!Number.isFinite(ms) || ms < 0 || ms > 2 ** 31 - 1) throw new Error(`a timer of ${ms} ms`);
    this.#timerIds += 1;
    this.#timers.set(this.#timerIds, { run, at: this.#now + ms, every });
    return this.#timerIds;
  }

  #handleEvent(type, detail) {
    this.#see('event', { type, ...neutral(type, detail) });
    const index = this.#reactions.findIndex((reaction) => reaction.type === type);
    if (index < 0) return;
    const [{ then }] = this.#reactions.splice(index, 1);
    try {
      for (const step of then) this[`do_${step.do}`](step);
    } catch (error) {
      this.#see('error', { error: `in a listener: ${error.message}` }); // no EventTarget lets it through
    }
  }

  #see(see, what) {
    // Through JSON: members that are undefined are absent.
    this.seen.push(JSON.parse(JSON.stringify({ at: this.#now, see, ...what })));
  }
}

/** A string that JSON cannot carry is given by its code units. */
function fromUtf16(value) {
  return value?.utf16 ? String.fromCharCode(...value.utf16) : value;
}

let compiled = { source: '', make: /** @type {Function | null} */ (null) };

/** Once for all vectors. @param {string} source @param {string[]} names */
function compile(source, names) {
  if (compiled.source !== source) {
    compiled = { source, make: new Function(...names, `${source}\nreturn rejoin;`) };
  }
  return compiled.make;
}

/** An event's detail in the vectors' own words. */
function neutral(type, { session, sends, upTo, ...rest }) {
  if (type === 'message' || type === 'answer') {
    const { number, event, ...frame } = rest;
    return { number, frame: { ...frame, event: event || undefined } };
  }
  const detail = { ...rest };
  if (upTo !== undefined) detail.up_to = upTo;
  if (sends) {
    detail.sends = sends.map(({ number }) => number);
    detail.states = [...new Set(sends.map(stateOf))];
  }
  if (session) {
    const { token, id, room, windowMs, buffer, bufferBytes, maxMessage } = session;
    Object.assign(detail, { session: token, id, room, window_ms: windowMs, buffer, buffer_bytes: bufferBytes, max_message: maxMessage });
  }
  return detail;
}

/** The vectors' words for the states of a frame. */
function stateOf({ state, error }) {
  if (state === 'acked') return 'acknowledged';
  return error?.reason === 'too big' ? 'refused' : state;
}

function nameOf({ message, reason, size, limit }) {
  if (limit !== undefined) return { error: 'too_big', size, limit };
  if (reason) return { error: reason };
  for (const [error, pattern] of ERRORS) if (pattern.test(message)) return { error };
  return { error: message };
}

const ERRORS = [
  ['reserved_event', /belong to the protocol/],
  ['invalid_frame', /^event, id and re must/],
  ['invalid_option', /^invalid (buffer|token)/],
];
