/**
 * What happens to a page in real browsers, against `rejoin-testserver` behind a cutting proxy: cuts, the back/forward cache, freezing,
 * reloads, duplicated tabs, navigations that do not happen, dials without a network. Each scenario checks that every number came
 * once and in order, in both directions.
 *
 *     node scripts/browsers.mjs [--cuts 300] [--seed 1] [--browser chromium --browser firefox] [--only NAME]
 *
 * Build the package and the server first. The browsers are those of the machine; nothing is downloaded.
 */
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';
import { cuttingProxy } from './lib/proxy.mjs';
import { random } from './lib/random.mjs';
import { testServer } from './lib/server.mjs';
import { site } from './lib/site.mjs';

const PROGRAMS = { chromium: process.env.CHROMIUM ?? '/usr/bin/chromium', firefox: process.env.FIREFOX ?? '/usr/bin/firefox-esr' };
/** Pages may open tabs; and Firefox does not wait by itself, for up to a minute, before it dials where a socket has failed. */
const FIREFOX = { 'dom.disable_open_during_load': false, 'network.websocket.delay-failed-reconnects': false };
const FLOOD = { bursts: 500, frames: 100, ms: 10 };
/** How long no cut may happen, on a machine that is busy with something else. */
const PATIENCE = 60_000;
/** The most between the return of a page and its dial. */
const AT_ONCE = 50;

const { values } = parseArgs({
  options: {
    cuts: { type: 'string', default: '300' }, seed: { type: 'string', default: '1' }, only: { type: 'string' },
    browser: { type: 'string', multiple: true, default: Object.keys(PROGRAMS) },
  },
});
const seed = Number(values.seed);
const server = await testServer('--resume-window', '60');
const origin = await site(server.port);

/** A page whose name is new, with these options of `connect`. */
async function open({ browser, proxy }, options = {}, more = '') {
  const page = await browser.newPage();
  page.name = `page-${Math.random().toString(36).slice(2)}`;
  page.home = `http://127.0.0.1:${proxy.port}/?name=${page.name}&options=${encodeURIComponent(JSON.stringify(options))}${more}`;
  await page.goto(page.home);
  await page.waitForFunction(() => window.page?.room.status.state === 'open');
  return page;
}

const until = (page, condition, ...parameters) => page.waitForFunction(condition, { timeout: 15_000, polling: 20 }, ...parameters);
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

function expect(what, actual, wanted = true) {
  if (JSON.stringify(actual) !== JSON.stringify(wanted)) throw new Error(`${what}: ${JSON.stringify(actual)}, not ${JSON.stringify(wanted)}`);
}

/** Every item came once and in order; the server counted every number once and in order. */
async function check(page, items) {
  await until(page, (n) => page.items.length >= n || page.failure, items);
  await until(page, () => page.room.status.pending === 0 || page.failure);
  const { failure, items: seen, sunk } = await page.evaluate(() => ({ failure: page.failure, items: page.items, sunk: page.sunk }));
  expect('failure', failure, '');
  expect('items', seen, Array.from({ length: items }, (_, index) => index + 1));
  if (sunk) expect('counted by the server', await server.control(`/sink?id=${page.name}`), { errors: 0, received: sunk });
}

const stream = (page, n, ms) => page.evaluate((payload) => { page.room.send('stream', payload); }, { n, every_us: ms * 1000, size: 50 });
const sink = (page, n) => page.evaluate((times) => { for (let i = 0; i < times; i += 1) page.sink(); }, n);
/** How long after `pageshow` the page has dialled; less than 0 where it did so at `resume`, which Chromium reports first. */
const dialAfterShown = async (page) => {
  const ms = await page.evaluate(() => page.dials.at(-1).at - page.times.pageshow);
  expect('dialled on return', ms > -5000);
  return ms;
};
const lastDial = (page) => page.evaluate(() => page.dials.at(-1));

const SCENARIOS = {
  async cuts(world) {
    const { proxy } = world;
    const page = await open(world);
    const cuts = proxy.cuts + Number(values.cuts);
    proxy.enabled = true;
    await page.evaluate(() => { page.sent = page.exchange(); });
    for (let [last, since] = [-1, 0]; proxy.cuts < cuts;) {
      await pause(1000);
      expect('failure', await page.evaluate(() => page.failure), '');
      if (proxy.cuts !== last) [last, since] = [proxy.cuts, performance.now()];
      if (performance.now() - since < PATIENCE) continue;
      throw new Error(`no progress after ${last} cuts: ${JSON.stringify(await page.evaluate(() => page.room.explain().slice(-5)))}`);
    }
    proxy.enabled = false;
    const sent = await page.evaluate(() => {
      page.running = false;
      return page.sent;
    });
    await until(page, (n) => page.echoes.length >= n || page.failure, sent);
    const echoes = await page.evaluate(() => page.echoes);
    expect('echoes', echoes, Array.from({ length: sent }, (_, index) => index + 1));
    await check(page, 0);
    return { cuts: Number(values.cuts), echoes: sent };
  },

  async 'back and forward'(world) {
    const page = await open(world);
    await stream(page, 200, 10);
    let fromCache = 0;
    let slowest = -Infinity;
    for (let n = 0; n < 3; n += 1) {
      await sink(page, 3);
      await page.goto(page.home.replace('/?', '/other?'));
      await pause(200);
      await page.goBack();
      const { persisted } = await page.evaluate(() => page);
      if (!persisted) break; // this browser did not keep the page
      fromCache += 1;
      await until(page, () => page.room.status.state === 'open');
      slowest = Math.max(slowest, await dialAfterShown(page));
    }
    if (fromCache) await check(page, 200);
    expect('dials in time', slowest <= AT_ONCE);
    return { fromCache, ...fromCache && { afterShown: Math.round(slowest) } };
  },

  /** Firefox keeps only pages without a socket. This page is between two dials, and dials again as soon as it is shown. */
  async 'back to a page that waits'(world) {
    const { proxy } = world;
    const page = await open(world, { retry: { base: 60_000, max: 60_000 } });
    proxy.refuses = true;
    await page.evaluate(() => page.room.cut(0));
    await until(page, () => page.room.status.retryAt > Date.now() + 1000);
    await sink(page, 3);
    await page.goto(`http://127.0.0.1:${origin.port}/other`);
    proxy.refuses = false;
    await page.evaluate(() => { history.back(); }); // `goBack` would wait for a load, which a page from the cache does not have
    await until(page, () => window.page?.persisted && page.room.status.state === 'open');
    await check(page, 0);
    const afterShown = await dialAfterShown(page);
    expect('dial in time', afterShown <= AT_ONCE);
    return { afterShown: Math.round(afterShown) };
  },

  async freeze(world) {
    if (world.name !== 'chromium') return 'only by CDP';
    const page = await open(world);
    const devtools = await page.createCDPSession();
    await stream(page, 200, 10);
    for (let n = 0; n < 3; n += 1) {
      await sink(page, 3);
      await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
      await pause(500);
      await devtools.send('Page.setWebLifecycleState', { state: 'active' });
      await until(page, () => page.room.status.state === 'open');
    }
    await check(page, 200);
    const { resume } = await lastDial(page);
    expect('dial in time', resume <= AT_ONCE);
    return { slowest: Math.round(resume) };
  },

  async 'hidden for long'(world) {
    const page = await open(world, { hidden: { closeAfter: 300 } });
    await stream(page, 200, 10);
    const other = await world.browser.newPage(); // in front of the first
    await until(page, () => page.room.status.state === 'away' && !page.room.status.retryAt);
    await sink(page, 3); // kept until the page is shown
    await pause(500);
    expect('still without a socket', await page.evaluate(() => [page.room.status.state, page.dials.length]), ['away', 1]);
    await page.bringToFront();
    await until(page, () => page.room.status.state === 'open');
    await check(page, 200);
    await other.close();
    return {};
  },

  async reloads(world) {
    const page = await open(world, { keep: 'reload' });
    await stream(page, 400, 5);
    for (let n = 0; n < 20; n += 1) {
      await sink(page, 2);
      await page.evaluate(() => page.room.suspend());
      await sink(page, 3); // still queued when the page goes
      await page.reload();
      await until(page, () => page.room?.status.state === 'open');
      expect('events', await page.evaluate(() => page.events.includes('$restored')));
    }
    await until(page, () => (sessionStorage.getItem('items') ?? '').trim().split(' ').length >= 400);
    await until(page, () => page.room.status.pending === 0);
    const items = await page.evaluate(() => sessionStorage.getItem('items').trim().split(' ').map(Number));
    expect('items of all loads', items, Array.from({ length: 400 }, (_, index) => index + 1));
    expect('counted by the server', await server.control(`/sink?id=${page.name}`), { errors: 0, received: 100 });
    return { reloads: 20 };
  },

  async 'duplicated tab'(world) {
    const page = await open(world, { keep: 'reload' }, '&anonymous');
    const opened = new Promise((resolve) => { world.browser.once('targetcreated', (target) => resolve(target.page())); });
    await page.evaluate(() => { window.open(location.href); }); // copies sessionStorage, as the menu does
    const copy = await opened;
    await until(copy, () => window.page?.room.status.state === 'open');
    const [one, other] = await Promise.all([page, copy].map((tab) => tab.evaluate(() => [page.room.session.token, page.failure])));
    expect('failures', [one[1], other[1]], ['', '']);
    expect('sessions differ', one[0] !== other[0]);
    expect('the copy knew of the session', await copy.evaluate(() => page.events.includes('keep')));
    expect('the original goes on', await page.evaluate(() => page.room.status.state), 'open');
    await copy.close();
    return {};
  },

  async 'navigation that does not happen'(world) {
    const page = await open(world);
    await stream(page, 200, 10);
    for (const path of ['/nothing', '/download', '/nothing']) {
      await sink(page, 3);
      await page.evaluate((where) => { location.href = where; }, path);
      await pause(300);
      await until(page, () => page.room.status.state === 'open');
    }
    await check(page, 200);
    return { drops: await page.evaluate(() => page.events.filter((what) => what === '$dropped').length) };
  },

  /**
   * The page receives 10,000 frames per second for 5 s, 100 of them every 10 ms, and none of its tasks is longer than 50 ms. Only by
   * `--only flood`: the machine must be idle, for the server and the browser need their time as well.
   */
  async flood(world) {
    if (world.name !== 'chromium') return 'only Chromium reports long tasks';
    const page = await open(world);
    await page.evaluate(({ bursts, frames, ms }) => {
      page.tasks = [];
      new PerformanceObserver((list) => { page.tasks.push(...list.getEntries().map(({ duration }) => duration)); }).observe({ type: 'longtask' });
      const began = performance.now();
      let sent = 0;
      const timer = setInterval(() => {
        for (; sent < bursts && sent * ms <= performance.now() - began; sent += 1) page.room.send('stream', { n: frames, every_us: 0, size: 50 });
        if (sent === bursts) clearInterval(timer);
      }, ms);
      page.room.on('item', () => { if (page.items.length === bursts * frames) page.took = performance.now() - began; });
    }, FLOOD);
    await page.waitForFunction(() => page.took || page.failure, { timeout: 60_000, polling: 500 });
    // The streams of a server that lags behind may mix.
    const { failure, counts } = await page.evaluate(() => {
      const counts = {};
      for (const i of page.items) counts[i] = (counts[i] ?? 0) + 1;
      return { failure: page.failure, counts };
    });
    expect('failure', failure, '');
    expect('numbers', Object.keys(counts).length, FLOOD.frames);
    expect('frames with each number', [...new Set(Object.values(counts))], [FLOOD.bursts]);
    // A long task of our own shows that they are reported, and that all before it were.
    await page.evaluate(() => { setTimeout(() => { for (const end = performance.now() + 60; performance.now() < end;); }); });
    await until(page, () => page.tasks.length);
    const { tasks, took } = await page.evaluate(() => ({ tasks: page.tasks, took: page.took }));
    const perSecond = Math.round(FLOOD.bursts * FLOOD.frames / took * 1000);
    const others = tasks.slice(0, -1);
    if (others.length) throw new Error(`${others.length} long tasks at ${perSecond} frames per second, the longest of ${Math.max(...others)} ms`);
    expect(`frames come in time: ${perSecond} per second`, perSecond >= 9900);
    return { perSecond };
  },

  async 'dials without a network'(world) {
    if (world.name !== 'chromium') return 'only by CDP';
    const page = await open(world, { retry: { base: 60_000, max: 60_000 } });
    await sink(page, 3);
    await page.setOfflineMode(true);
    await page.evaluate(() => page.room.cut(0));
    await sink(page, 3);
    await until(page, () => page.dials.length === 2 && page.room.status.retryAt);
    await page.setOfflineMode(false);
    await until(page, () => page.room.status.state === 'open');
    const { online } = await lastDial(page);
    expect('dial in time', online <= AT_ONCE);
    await check(page, 0);
    return { slowest: Math.round(online) };
  },
};

let failed = 0;
for (const name of values.browser) {
  const browser = await puppeteer.launch({
    browser: name === 'firefox' ? 'firefox' : 'chrome', executablePath: PROGRAMS[name], headless: true, timeout: 180_000,
    args: name === 'firefox' ? [] : ['--no-sandbox'], extraPrefsFirefox: FIREFOX,
  });
  const version = await browser.version();
  for (const [scenario, run] of Object.entries(SCENARIOS)) {
    if (values.only ? !scenario.includes(values.only) : scenario === 'flood') continue;
    const proxy = await cuttingProxy({ target: origin.port, next: random(seed), bytes: 12_000 });
    proxy.enabled = false;
    const started = performance.now();
    let result;
    try {
      result = await run({ browser, proxy, name });
    } catch (error) {
      failed += 1;
      result = `FAILED: ${error.message}`;
    }
    console.log(JSON.stringify({ browser: version, scenario, result, seconds: Math.round((performance.now() - started) / 1000) }));
    for (const page of await browser.pages()) await page.goto('about:blank').catch(() => {});
    proxy.close();
  }
  await browser.close();
}
server.stop();
origin.close();
process.exit(failed ? 1 : 0);
