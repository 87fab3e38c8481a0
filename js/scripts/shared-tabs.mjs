/**
 * Tabs that share a connection (`rejoin/shared`) in Chromium: closes the leader again and again while all tabs send, or kills its
 * renderer process (`--crash`), and checks that every tab gets each frame of every tab once and in order. Needs `rejoin-testserver`
 * (REJOIN_TESTSERVER) and Chromium (CHROMIUM, by default /usr/bin/chromium).
 *
 *   node scripts/shared-tabs.mjs [--kills 50] [--tabs 5] [--seed 1] [--crash]
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { parseArgs } from 'node:util';
import { launch } from 'puppeteer-core';
import { random } from './lib/random.mjs';
import { testServer } from './lib/server.mjs';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '50' }, tabs: { type: 'string', default: '5' }, seed: { type: 'string', default: '1' },
    crash: { type: 'boolean', default: false },
  },
});
const next = random(Number(values.seed));
const KILLS = Number(values.kills), TABS = Number(values.tabs);

const testserver = await testServer('--send-buffer', '4096');

const files = createServer(async ({ url }, response) => {
  const isScript = url.endsWith('.js');
  response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
  response.end(isScript ? await readFile(new URL(`../dist${url}`, import.meta.url)) : `<!doctype html><script type="module">
    import { connect } from './shared.js';
    window.begin = (tab) => {
      const room = connect('/?room=tabs', { buffer: 4096 });
      const seen = {}, wrong = [], sends = [];
      room.on('pub', ({ payload: { tab, i } }) => {
        if (tab in seen && seen[tab] !== i - 1) wrong.push([tab, seen[tab], i]);
        seen[tab] = i;
      });
      room.on('$lost', () => wrong.push('lost'));
      room.on('$gap', () => wrong.push('gap'));
      const timer = setInterval(() => sends.push(room.send('pub', { tab, i: sends.length + 1 })), 20);
      Object.assign(window, { room, stop: () => clearInterval(timer), outcome: () => ({
        tab, seen, wrong, sent: sends.length, acked: sends.filter(({ state }) => state === 'acked').length,
        lost: sends.filter(({ error }) => error).slice(0, 5).map(({ error }) => error.message), state: room.status.state,
      }) });
    };
  </script>`);
}).listen(0, '127.0.0.1');
// The server accepts pages of its own origin: this is a proxy for it.
files.on('upgrade', ({ url, rawHeaders }, socket) => {
  const server = connect(testserver.port, '127.0.0.1');
  server.write(`GET ${url} HTTP/1.1\r\n${rawHeaders.map((text, i) => text + (i % 2 ? '\r\n' : ': ')).join('')}\r\n`);
  socket.pipe(server).pipe(socket);
  for (const end of [socket, server]) end.on('error', () => { socket.destroy(); server.destroy(); });
});
await once(files, 'listening');

const browser = await launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-background-timer-throttling', '--disable-breakpad'] });
let failed = false;
const started = performance.now();
try {
  let count = 0;
  const open = async () => {
    const page = await browser.newPage();
    page.setDefaultTimeout(120_000); // the machine may be busy
    page.on('pageerror', (error) => { failed = true; console.error('page:', error.message); });
    await page.goto(`http://127.0.0.1:${files.address().port}/`);
    await page.waitForFunction('window.begin', { polling: 50 });
    const tab = `tab${count += 1}`;
    await page.evaluate((tab) => window.begin(tab), tab);
    await page.waitForFunction('room.status.state === "open"', { polling: 50 });
    return page;
  };
  const pages = [];
  for (let i = 0; i < TABS; i += 1) pages.push(await open());
  for (let kill = 0; kill < KILLS; kill += 1) {
    await new Promise((resolve) => { setTimeout(resolve, 100 + 200 * next()); });
    const leader = pages.shift(); // the oldest tab has the lock
    if (values.crash) {
      const devtools = await leader.createCDPSession();
      const crashed = new Promise((resolve) => { leader.once('error', resolve); });
      devtools.send('Page.crash').catch(() => {});
      await crashed;
    }
    await leader.close({ runBeforeUnload: false }).catch(() => {});
    pages.push(await open());
  }
  await new Promise((resolve) => { setTimeout(resolve, 1000); });
  for (const page of pages) await page.evaluate('stop()');
  const settled = `(({ sent, acked, lost }) => sent === acked + lost.length)(outcome())`;
  for (const page of pages) await page.waitForFunction(settled, { polling: 50 }).catch(() => {});
  await new Promise((resolve) => { setTimeout(resolve, 500); });
  const outcomes = await Promise.all(pages.map((page) => page.evaluate('outcome()')));
  // Of a tab that is gone, all others have seen the same last frame, and each of them every one from its first.
  const gone = {};
  for (const { seen } of outcomes) for (const [tab, last] of Object.entries(seen)) (gone[tab] ??= new Set()).add(last);
  const parted = Object.keys(gone).filter((tab) => gone[tab].size > 1);
  if (parted.length) {
    failed = true;
    console.log(`WRONG: not all saw the same of ${parted}`);
  }
  for (const { tab, seen, wrong, sent, acked, lost, state } of outcomes) {
    const missing = outcomes.filter((other) => seen[other.tab] !== other.sent).map((other) => `${other.tab}: ${seen[other.tab]} of ${other.sent}`);
    const bad = wrong.length + missing.length + lost.length + (sent - acked);
    if (bad) failed = true;
    console.log(`${tab} ${state}: sent ${sent}, acked ${acked}, saw ${Object.keys(seen).length} tabs${bad ? `; WRONG ${JSON.stringify({ wrong, missing, lost })}` : ''}`);
  }
  const frames = Object.values(gone).reduce((sum, [last]) => sum + last, 0);
  console.log(JSON.stringify({
    browser: await browser.version(), seed: Number(values.seed), [values.crash ? 'leadersCrashed' : 'leadersClosed']: KILLS, tabs: TABS, frames,
    outcome: failed ? 'FAILED' : 'nothing lost or repeated', seconds: Math.round((performance.now() - started) / 1000),
  }));
} finally {
  await browser.close();
  files.close();
  testserver.stop();
}
process.exit(failed ? 1 : 0);
