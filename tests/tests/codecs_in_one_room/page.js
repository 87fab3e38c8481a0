// @ts-check
// A client with the codec `json` that only uses browser APIs: sends every value of the table, and compares the received texts
// with the table. The test reads `member`.

const table = await (await fetch('/images.json')).json();

/** The expected frames from all members: ids and texts, in order. @type {Map<string, [string, string | null][]>} */
const expected = new Map([['page', []], ['rust', []], ['python', []]]);
const add = (sender, kind, number, text) => expected.get(sender).push([`${sender}-${kind}-${number}`, text]);
for (const [number, { json }] of table.json.entries()) {
  add('page', 'json', number, json);
  add('python', 'json', number, json);
}
for (const kind of ['msgpack', 'bytes']) {
  for (const [number, { json }] of table[kind].entries()) {
    add('rust', kind, number, json);
    add('python', kind, number, json);
  }
}
const own = [...expected.get('page')];
const total = [...expected.values()].reduce((sum, frames) => sum + frames.length, 0);
// A value that JSON cannot represent arrives as a gap, which does not name its sender.
let imageless = 0;
for (const [sender, frames] of expected) {
  const here = frames.filter(([, text]) => text !== null);
  imageless += frames.length - here.length;
  expected.set(sender, here);
}

const member = { state: 'connecting', received: 0, total, wrong: [] };
Object.assign(window, { member });

const socket = new WebSocket(`ws://${location.host}/ws`, ['rejoin.v1.json']);
let [buffer, acknowledged, gaps, timer] = [1, 0, 0, undefined];

member.send = () => {
  // Built by hand, because JSON.stringify changes numbers.
  for (const [id, text] of own) socket.send(`{"id":"${id}","event":"value","payload":${text}}`);
};

socket.onclose = ({ code, reason }) => {
  if (member.state !== 'done') wrong(`closed with ${code} ${reason}`);
};
socket.onmessage = ({ data }) => {
  if (typeof data !== 'string') return wrong('a binary message');
  const frame = JSON.parse(data);
  if (frame.event === '$open') {
    buffer = frame.payload.buffer;
    member.state = 'open';
  } else if (frame.event === '$gap') {
    const { from, to } = frame.payload;
    if (from !== member.received + 1) wrong(data);
    gaps += to - from + 1;
    count(to - from + 1);
  } else if (!frame.event?.startsWith('$')) {
    check(frame, data);
    count(1);
  }
};

function check({ id, event }, data) {
  const next = expected.get(id.split('-')[0])?.shift();
  if (next?.[0] !== id || event !== 'value') wrong(`unexpected: ${data}`);
  else if (!data.includes(`"payload":${next[1]}`)) wrong(`${data}, not ${next[1]}`);
}

function count(frames) {
  member.received += frames;
  timer ??= setTimeout(acknowledge, 1000);
  if (member.received - acknowledged >= Math.max(1, Math.floor(buffer / 4))) acknowledge();
  if (member.received < total) return;
  if (gaps !== imageless) wrong(`${gaps} gaps, not ${imageless}`);
  for (const frames of expected.values()) if (frames.length) wrong(`missing: ${frames}`);
  member.state = 'done';
  acknowledge();
  socket.close(1000);
}

function acknowledge() {
  clearTimeout(timer);
  timer = undefined;
  if (acknowledged === member.received || socket.readyState !== WebSocket.OPEN) return;
  acknowledged = member.received;
  socket.send(`{"event":"$ack","payload":${acknowledged}}`);
}

function wrong(what) {
  member.wrong.push(what);
}
