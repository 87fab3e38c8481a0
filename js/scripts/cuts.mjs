/**
 * Sends numbers to `rejoin-testserver` through a proxy that cuts the connection at random bytes, and checks that the server's
 * echo brings each of them once and in order, and that the server has counted none twice or out of order.
 *
 *     node scripts/cuts.mjs [--cuts 300] [--seed 1] [--connections 4] [--bare]
 *
 * `--bare` takes the WebSocket of Node (22 or later) in place of the package `ws`. That of Node 22 does not notice when the server goes
 * away in the handshake, so that each such cut takes the 15 s after which the client abandons the dial: here only later bytes are cut.
 *
 * Build the package (`npm run build`) and the server (`cargo build --bin rejoin-testserver`) first.
 */
import { parseArgs } from 'node:util';
import { WebSocket as PackageSocket } from 'ws';
import { connect } from '../dist/index.js';
import { cuttingProxy } from './lib/proxy.mjs';
import { random } from './lib/random.mjs';
import { testServer } from './lib/server.mjs';

const { values } = parseArgs({
  options: {
    cuts: { type: 'string', default: '300' }, seed: { type: 'string', default: '1' }, connections: { type: 'string', default: '4' },
    bare: { type: 'boolean', default: false },
  },
});
const [wanted, seed, connections] = [values.cuts, values.seed, values.connections].map(Number);
const PATIENCE = 20_000; // without progress
const BYTES = 12_000; // the most that a socket lives for
const HANDSHAKE = 1500; // more than its bytes

const server = await testServer('--resume-window', '60');
const started = performance.now();
const results = await Promise.all(Array.from({ length: connections }, (_, index) => exchange(index, Math.ceil(wanted / connections))));
const total = { cuts: 0, sent: 0, echoed: 0, wrong: 0, sunk: 0, dials: 0 };
for (const result of results) for (const name of Object.keys(total)) total[name] += result[name];
const ways = results.map(({ ways: own }) => own).reduce((all, own) => Object.fromEntries(Object.keys(all).map((way) => [way, all[way] + own[way]])));
console.log(JSON.stringify({ seed, node: process.version, socket: values.bare ? 'global' : 'ws', ...total, ways, seconds: Math.round((performance.now() - started) / 1000) }));
server.stop();
process.exit(results.every(({ fine }) => fine) ? 0 : 1);

async function exchange(index, cuts) {
  const next = random(seed * 1000 + index);
  const proxy = await cuttingProxy({ target: server.port, next, bytes: BYTES, from: values.bare ? HANDSHAKE : 0 });
  const id = `cuts-${seed}-${index}`;
  const room = connect(`ws://127.0.0.1:${proxy.port}/?id=${id}&room=${id}`, { ...values.bare ? {} : { WebSocket: PackageSocket }, retry: { base: 2, max: 10 } });
  const result = { cuts: 0, sent: 0, echoed: 0, wrong: 0, sunk: 0, dials: 0, ways: proxy.ways, fine: false };
  let failure = '';
  let sunk = 0;
  const states = new Map();
  room.on('$waiting', () => { result.dials += 1; });
  for (const end of ['$lost', '$gap', '$closed']) room.on(end, (detail) => { failure ||= `${end} ${JSON.stringify(detail)}`; });
  // Echoes are read slowly at times, so that acknowledgements are withheld while sockets are cut.
  const reading = (async () => {
    for await (const { event, payload } of room.frames({ limit: 8 })) {
      if (event !== 'echo') continue;
      result.echoed += 1;
      if (payload.i !== result.echoed) {
        result.wrong += 1;
        failure ||= `echo ${payload.i} instead of ${result.echoed}`;
      }
      if (next() < 0.01) await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
  })();
  const progress = watchdog(() => `${result.echoed} ${sunk} ${proxy.cuts}`);
  try {
    while (proxy.cuts < cuts && !failure && !progress.stuck) {
      await Promise.race([room.ready(), progress.tick()]);
      for (let n = 0; n < 5; n += 1) {
        const pad = 'x'.repeat(Math.floor(next() * 400));
        const isSink = next() < 0.3;
        const sent = isSink ? room.send('sink', { i: sunk + 1, pad }) : room.send('echo', { i: result.sent + 1, pad });
        if (sent.state === 'lost') continue; // full: the number is used again
        states.set(sent, true);
        sent.acked.then(() => states.delete(sent), () => {});
        if (isSink) sunk += 1;
        else result.sent += 1;
      }
      await new Promise((resolve) => { setTimeout(resolve, 1); });
    }
    proxy.enabled = false;
    while ((result.echoed < result.sent || states.size) && !failure && !progress.stuck) await progress.tick();
    const { received, errors } = await server.control(`/sink?id=${id}`);
    result.sunk = received;
    if (received !== sunk || errors) failure ||= `the server counted ${received} of ${sunk}, ${errors} out of order`;
    if (progress.stuck) failure ||= `no progress for ${PATIENCE} ms: echoed ${result.echoed} of ${result.sent}, ${states.size} without acknowledgement`;
  } finally {
    progress.stop();
    room.close();
    await reading;
    proxy.close();
  }
  result.cuts = proxy.cuts;
  failure = failure.startsWith('$closed') && failure.includes('"code":1000,"reason":""') ? '' : failure;
  result.fine = failure === '';
  if (failure) console.error(`connection ${index}: ${failure}\n${JSON.stringify(room.explain().slice(-10), null, 1)}`);
  return result;
}

/** Notices when what `describe` returns does not change for too long. */
function watchdog(describe) {
  let last = '';
  let since = performance.now();
  const check = () => {
    const now = describe();
    if (now !== last) since = performance.now();
    last = now;
    if (performance.now() - since > PATIENCE) watch.stuck = true;
  };
  const timer = setInterval(check, 200);
  const watch = { stuck: false, stop: () => clearInterval(timer), tick: () => new Promise((resolve) => { setTimeout(resolve, 5); }) };
  return watch;
}
