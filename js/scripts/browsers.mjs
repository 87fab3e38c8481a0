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
const FLOOD = 50_000;
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
const lastDial = (page) => page.evaluate(() => page.dials.at(-1));

const SCENARIOS = {
  async cuts(world) {
    const { proxy } = world;
    const page = await open(world);
    const cuts = proxy.cuts + Number(values.cuts);
    proxy.enabled = true;
    await page.evaluate(() => { page.sent = page.exchange(); });
    for (let last = -1; proxy.cuts < cuts;) {
      await pause(5000);
      expect('failure', await page.evaluate(() => page.failure), '');
      if (proxy.cuts === last) throw new Error(`no progress after ${last} cuts`);
      last = proxy.cuts;
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
    let slowest = 0;
    for (let n = 0; n < 3; n += 1) {
      await sink(page, 3);
      await page.goto(page.home.replace('/?', '/other?'));
      await pause(200);
      await page.goBack();
      const { persisted } = await page.evaluate(() => page);
      if (!persisted) break; // this browser did not keep the page
      fromCache += 1;
      await until(page, () => page.room.status.state === 'open');
      const { pageshow, resume } = await lastDial(page);
      slowest = Math.max(slowest, Math.min(...[pageshow, resume].map((ms) => Math.abs(ms ?? Infinity))));
    }
    if (fromCache) await check(page, 200);
    expect('dials in time', slowest <= AT_ONCE);
    return { fromCache, slowest: Math.round(slowest) };
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

  /** No task of the page is longer than 50 ms. Only by `--only flood`: the machine must be idle, for the server needs its time as well. */
  async flood(world) {
    if (world.name !== 'chromium') return 'only Chromium reports long tasks';
    const page = await open(world);
    await page.evaluate(() => {
      page.longest = 0;
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) page.longest = Math.max(page.longest, duration);
      }).observe({ type: 'longtask' });
      page.began = performance.now();
    });
    await page.evaluate((payload) => { page.room.send('stream', payload); }, { n: FLOOD, every_us: 0, size: 50 });
    await page.waitForFunction((n) => page.items.length >= n, { timeout: 60_000, polling: 500 }, FLOOD);
    const { longest, ms } = await page.evaluate(() => ({ longest: page.longest, ms: performance.now() - page.began }));
    await check(page, FLOOD);
    expect('no long task', longest, 0);
    return { perSecond: Math.round(FLOOD / ms * 1000) };
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
    browser: name === 'firefox' ? 'firefox' : 'chrome', executablePath: PROGRAMS[name], headless: true,
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
