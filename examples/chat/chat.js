// @ts-check
/**
 * The chat's page. `rejoin.js`, the npm package `rejoin` in one file, maintains the connection; this file interprets the chat's frames and displays them.
 *
 * To the server:   `say {text}`; the frame's id identifies the message.
 * From the server: `welcome {you, people}`, `joined`/`left`/`away`/`back` with a person, `said {from, text, at}` under the id of its
 *                  `say`, and `restarted` after another process has taken over. A person is `{id, name}`.
 */
import { connect } from './rejoin.js';

/** @typedef {{ id: string, name: string, away?: boolean }} Person */
/** @typedef {import('rejoin').Connection<any, any>} Connection */
/** @typedef {import('rejoin').Sent} Sent */

const LONGEST_TEXT = 2000; // characters, as the server counts them
const CUT_FOR = 5000;

const $ = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));

/** For tests: the connection, and the number of repeated messages (which occur only after `Send again`). */
const chat = { connection: /** @type {Connection | null} */ (null), repeated: 0 };
Object.assign(window, { chat });

/** @type {Person | null} */
let me = null;
/** The last line of the log when the current session began. Its welcome is inserted after it. @type {Element | null} */
let beginning = null;
/** Whether the current session replaces one that was lost. */
let replaces = false;
/** @type {Map<string, Person>} */
const people = new Map();
/** Changes of persons that arrived before our welcome; either may be older. @type {{ event: string, payload: any }[]} */
let early = [];
/** The rows of the log by message id. @type {Map<string, HTMLElement>} */
const rows = new Map();

// ---- joining and leaving

function join() {
  const name = $('name').value.trim();
  const room = $('room').value.trim();
  if (!name || !room) return;
  const url = new URL('ws', location.href);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.hash = '';
  const who = `room=${encodeURIComponent(room)}&name=${encodeURIComponent(name)}`;
  url.search = who;
  history.replaceState(null, '', `#${who}`); // a reload joins again
  document.title = `#${room} · rejoin chat`;
  $('title').textContent = room;
  setPeople([]);
  me = null;
  early = [];
  beginning = $('log').lastElementChild;
  replaces = false;
  $('welcome').hidden = true;
  $('chat').hidden = false;
  chat.connection = follow(connect(url));
  setOpen(true);
  $('text').focus();
}

function leave() {
  const connection = chat.connection;
  chat.connection = null;
  connection?.close();
  clearInterval(countdown);
  $('log').replaceChildren();
  rows.clear();
  $('chat').hidden = true;
  $('welcome').hidden = false;
  history.replaceState(null, '', `#room=${encodeURIComponent($('room').value)}`);
  document.title = 'rejoin chat';
  $('name').focus();
}

// ---- events of the connection

/** @param {Connection} connection */
function follow(connection) {
  let droppedAt = 0;
  /** @type {(type: string, handle: (detail: any) => void) => void} */
  const on = (type, handle) => connection.on(type, (detail) => {
    if (connection === chat.connection) handle(detail);
  });

  showState('connecting', 'connecting');
  on('$open', () => showState('connected', 'connected'));
  on('*', handleMessage);
  on('$sent', ({ sends }) => showTicks(sends));
  on('$acked', ({ sends }) => showTicks(sends));
  on('$refused', ({ sends }) => showTicks(sends));
  on('$dropped', ({ code, reason }) => {
    droppedAt = performance.now();
    showState('away', 'away');
    showMyself(true);
    notice('dropped', reason === 'cut' ? 'You cut the socket' : code === 1012 ? 'The server restarts' : 'Connection lost');
  });
  on('$waiting', ({ ms }) => showWaiting(connection.status.state === 'away' ? 'away' : 'connecting', ms));
  on('$restored', () => {
    showState('connected', 'connected');
    showMyself(false);
    notice('restored', `Back after ${seconds(performance.now() - droppedAt)}`);
  });
  on('$gap', ({ from, to }) => {
    notice('gap', `The server could not keep everything: ${plural(to - from + 1, 'update')} will not arrive.`);
  });
  on('$lost', ({ reason, sends }) => {
    showTicks(sends);
    me = null;
    early = [];
    setPeople([]);
    showLost(reason, sends);
    beginning = $('log').lastElementChild;
    replaces = true;
  });
  on('$closed', ({ code, reason, sends }) => {
    showTicks(sends);
    showState('lost', 'lost');
    setOpen(false);
    const text = `The connection has ended: ${reason || `code ${code}`}.${missing(sends)}`;
    notice('closed', text, sends.length ? 'Join and send again' : 'Join again', () => {
      join();
      sayAgain(sends);
    });
  });
  return connection;
}

/** @param {{ id?: string, event?: string, payload: any }} frame */
function handleMessage({ id, event, payload }) {
  if (me === null && ['joined', 'left', 'away', 'back'].includes(event ?? '')) early.push({ event: event ?? '', payload });
  switch (event) {
    case 'welcome': {
      me = payload.you;
      setPeople(payload.people);
      const news = early.splice(0);
      // Each person's last news counts, whether the list knows it already or not.
      for (const { event, payload: whom } of news) {
        const { id } = whom;
        if (event === 'left') people.delete(id);
        if (event === 'joined' && !people.has(id)) people.set(id, { ...whom });
        const person = people.get(id);
        if (person && person.id !== me?.id) person.away = event === 'away';
      }
      showPeople();
      return showWelcome();
    }
    case 'restarted':
      return notice('restarted', 'The server has another process now. Nothing was lost');
    case 'joined': {
      const news = me !== null && payload.id !== me.id && !people.has(payload.id);
      people.set(payload.id, payload);
      showPeople();
      if (news) notice('joined', `${payload.name} joined`);
      return;
    }
    case 'left': {
      const known = people.delete(payload.id);
      showPeople();
      if (known && payload.id !== me?.id) notice('left', `${payload.name} left`);
      return;
    }
    case 'away':
    case 'back': {
      const person = people.get(payload.id);
      if (person && person.id !== me?.id) person.away = event === 'away'; // our own state is known from the socket, and earlier
      return showPeople();
    }
    case 'said':
      return handleSaid(id ?? '', payload);
  }
}

/** @param {string} id @param {{ from: Person, text: string, at: number }} said */
function handleSaid(id, { from, text, at }) {
  const row = rows.get(id);
  if (!row) return addMessage(id, from, text, at, from.id === me?.id);
  if (me === null) return; // from the room's history, and in the log already
  // Our own message is in the log since it was typed. Its first echo is expected; any further one is a repetition.
  if (row.matches('.mine') && !('echoed' in row.dataset)) row.dataset.echoed = '';
  else chat.repeated += 1;
}

// ---- sending

function say() {
  const text = $('text').value.trim();
  const { length } = [...text];
  if (length === 0) return showProblem('There is nothing to send yet.');
  if (length > LONGEST_TEXT) return showProblem(`A message has at most ${LONGEST_TEXT} characters; this one has ${length}.`);
  const id = newId();
  const sent = chat.connection?.send('say', { text }, { id });
  if (!sent || sent.error) return showProblem(`Not sent: ${sent?.error?.message ?? 'not connected'}.`);
  addMessage(id, me ?? { id: '', name: $('name').value }, text, Date.now(), true);
  showTicks([sent]);
  $('text').value = '';
  handleTyping();
  scrollToEnd();
}

/** Sends with the same ids, so that a member who already has a message does not see it twice. @param {Sent[]} sends */
function sayAgain(sends) {
  for (const { frame } of sends) {
    const sent = chat.connection?.send('say', frame.payload, { id: frame.id ?? '' });
    if (sent?.error) return showProblem(`Not sent: ${sent.error.message}.`);
    if (sent) showTicks([sent]);
  }
}

/** Unique enough to identify a message. (`crypto.randomUUID` is missing when a phone opens the page without TLS.) */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// ---- display

/** @param {string} id @param {Person} from @param {string} text @param {number} at @param {boolean} mine */
function addMessage(id, from, text, at, mine) {
  const row = element('li', mine ? 'message mine' : 'message');
  const previous = $('log').lastElementChild;
  if (previous?.matches('.message') && previous.matches('.mine') === mine && (mine || previous.dataset.fromId === from.id)) {
    row.classList.add('again');
  }
  row.dataset.from = from.name;
  row.dataset.fromId = from.id;
  row.dataset.id = id;
  row.style.setProperty('--hue', hue(from.name));
  const bubble = element('div', 'bubble');
  const body = element('span', 'text', text);
  body.dir = 'auto';
  const meta = element('span', 'meta');
  const time = element('time', '', new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  /** @type {HTMLTimeElement} */ (time).dateTime = new Date(at).toISOString();
  meta.append(time);
  if (mine) meta.append(newTick());
  bubble.append(body, meta);
  row.append(element('span', mine ? 'from unseen' : 'from', mine ? 'You' : from.name), bubble);
  if (id) rows.set(id, row);
  append(row);
}

const TICKS = {
  queued: 'waiting for a connection',
  sent: 'on its way to the server',
  acked: 'the server has it', // and delivers it to every member; to those who are away, when they are back
  refused: 'not sent: larger than the server accepts',
  lost: 'not acknowledged, the session was lost',
};

/** @param {Sent[]} sends */
function showTicks(sends) {
  for (const { frame, state: fate, error } of sends) {
    const row = rows.get(frame.id ?? '');
    if (!row) continue;
    const state = error?.reason === 'too big' ? 'refused' : fate;
    row.dataset.state = state;
    const tick = row.querySelector('.tick');
    tick?.setAttribute('aria-label', TICKS[state]);
    tick?.querySelector('title')?.replaceChildren(TICKS[state]);
    tick?.querySelector('use')?.setAttribute('href', `#icon-${state}`);
  }
}

function newTick() {
  const svg = (/** @type {string} */ name) => document.createElementNS('http://www.w3.org/2000/svg', name);
  const tick = svg('svg');
  tick.setAttribute('class', 'tick');
  tick.setAttribute('role', 'img');
  tick.append(svg('title'), svg('use'));
  return tick;
}

/**
 * A line between the messages, with a button that works once.
 * @param {string} kind @param {string} text @param {string} [label] @param {() => void} [press]
 */
function notice(kind, text, label, press) {
  const row = element('li', 'notice');
  row.dataset.kind = kind;
  row.append(element('span', '', text));
  if (label && press) {
    const button = /** @type {HTMLButtonElement} */ (element('button', 'quiet', label));
    button.type = 'button';
    button.addEventListener('click', () => {
      button.remove();
      press();
    });
    row.append(button);
  }
  append(row);
}

/** Inserted where the session began, before the lines typed while it was not open yet. */
function showWelcome() {
  const again = replaces ? 'With a new session: you' : 'You';
  notice('joined', `${again} are in ${$('title').textContent} as ${me?.name}`);
  const row = $('log').lastElementChild;
  if (beginning?.isConnected) beginning.after(row);
  else $('log').prepend(row);
}

/** @param {string} reason @param {Sent[]} sends */
function showLost(reason, sends) {
  const why = reason === 'unknown' ? 'we were away for too long' : reason;
  const text = `The session was lost: ${why}. What others said meanwhile is missing here.${missing(sends)}`;
  if (sends.length) notice('lost', text, sends.length === 1 ? 'Send it again' : 'Send them again', () => sayAgain(sends));
  else notice('lost', text);
}

/** @param {Sent[]} sends */
function missing(sends) {
  return sends.length ? ` ${plural(sends.length, 'message')} of yours may not have arrived.` : '';
}

/** Follows the log's end, unless the reader has scrolled up. @param {HTMLElement} row */
function append(row) {
  const atEnd = isAtEnd();
  $('log').append(row);
  if (atEnd) scrollToEnd();
  else $('newer').hidden = false;
}

function scrollToEnd() {
  $('scroll').scrollTop = $('scroll').scrollHeight;
  $('newer').hidden = true;
}

function isAtEnd() {
  const { scrollTop, clientHeight, scrollHeight } = $('scroll');
  return scrollHeight - clientHeight - scrollTop < 60;
}

/** @param {Person[]} list */
function setPeople(list) {
  people.clear();
  for (const person of list) people.set(person.id, { ...person });
  showPeople();
}

function showPeople() {
  const away = [...people.values()].filter((person) => person.away).length;
  $('count').textContent = people.size ? `${people.size - away} here${away ? `, ${away} away` : ''}` : '';
  $('people').replaceChildren(...inOrder().map((person) => {
    const chip = element('li');
    chip.style.setProperty('--hue', hue(person.name));
    chip.dataset.id = person.id;
    const who = element('span', 'who', person.name);
    who.dir = 'auto';
    chip.append(who);
    if (person.id === me?.id) chip.append(element('span', 'me', 'you'));
    if (person.away) {
      chip.dataset.away = '';
      chip.title = `${person.name} is away`;
      chip.append(element('span', 'unseen', 'away'));
    }
    return chip;
  }));
}

/** Shows our own state as the others see it. @param {boolean} away */
function showMyself(away) {
  const mine = me && people.get(me.id);
  if (mine) mine.away = away;
  showPeople();
}

/** Our own entry first, then the others in order of arrival. */
function inOrder() {
  const mine = me && people.get(me.id);
  return mine ? [mine, ...[...people.values()].filter((person) => person !== mine)] : [...people.values()];
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let countdown;

/** @param {'connecting' | 'connected' | 'away' | 'lost'} state @param {string} label */
function showState(state, label) {
  clearInterval(countdown);
  $('state').dataset.state = state;
  $('state').firstElementChild.textContent = label;
}

/** @param {'connecting' | 'away'} state @param {number} ms */
function showWaiting(state, ms) {
  const until = performance.now() + ms;
  const show = () => {
    const left = until - performance.now();
    $('state').firstElementChild.textContent = left > 50 ? `${state}, retrying in ${seconds(left)}` : `${state}, retrying`;
    if (left <= 50) clearInterval(countdown);
  };
  showState(state, state);
  countdown = setInterval(show, 100);
  show();
}

/** @param {string} text */
function showProblem(text) {
  $('problem').textContent = text;
  $('problem').hidden = text === '';
}

/** Enables or disables the controls that need a connection. @param {boolean} open */
function setOpen(open) {
  for (const id of ['text', 'send', 'cut', 'cut-long']) $(id).disabled = !open;
}

// ---- small helpers

/** @param {string} tag @param {string} [className] @param {string} [text] */
function element(tag, className = '', text = '') {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** A colour for a name, the same on every screen. @param {string} name */
function hue(name) {
  let sum = 7;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 360;
  return String(sum);
}

/** @param {number} ms */
function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** @param {number} count @param {string} noun */
function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

// ---- the page's own events

/** Grows the field with its text, and shows the length near the limit. */
function handleTyping() {
  const field = $('text');
  showProblem('');
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight + 2}px`;
  const { length } = [...field.value.trim()];
  $('length').textContent = length > LONGEST_TEXT - 200 ? `${length} / ${LONGEST_TEXT}` : '';
  $('length').classList.toggle('over', length > LONGEST_TEXT);
}

$('join-form').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  join();
});
$('compose').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  say();
});
$('text').addEventListener('input', handleTyping);
$('text').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});
$('cut').addEventListener('click', () => chat.connection?.cut());
$('cut-long').addEventListener('click', () => chat.connection?.cut(CUT_FOR));
$('leave').addEventListener('click', leave);
$('newer').addEventListener('click', scrollToEnd);
// A growing field or a keyboard takes space from the log. Keep a reader who was at its end there.
let wasAtEnd = true;
$('scroll').addEventListener('scroll', () => {
  wasAtEnd = isAtEnd();
  if (wasAtEnd) $('newer').hidden = true;
});
new ResizeObserver(() => { if (wasAtEnd) scrollToEnd(); }).observe($('scroll'));
// Leaving the page means leaving the room. Without this, the others would see us as away until the session's window ends.
addEventListener('pagehide', (event) => { if (!event.persisted) chat.connection?.close(); });

const link = new URLSearchParams(location.hash.slice(1).replaceAll('+', '%2B'));
if (link.get('room')) $('room').value = link.get('room');
if (link.get('name')) $('name').value = link.get('name');
if (link.get('room') && link.get('name')) join();
else $('name').focus();
