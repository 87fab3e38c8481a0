import { expect, test, vi } from 'vitest';
import type { Entry } from '../src/index.js';
import { FakeSocket, dial, opened, redial } from './world.js';

test('a snapshot is the same object until something changes', async () => {
  const room = dial();
  const first = room.status;
  expect(room.status).toBe(first);
  await vi.advanceTimersByTimeAsync(1000);
  expect(room.status).toBe(first);
  FakeSocket.last.open();
  expect(room.status).not.toBe(first);
  expect(room.status).toMatchObject({ state: 'open', pending: 0, session: { id: 'ada' } });
});

test('watchers hear of many changes once, and of none after they leave', async () => {
  const room = opened();
  const watcher = vi.fn();
  const off = room.watch(watcher);
  for (let n = 0; n < 10; n += 1) room.send('say', n);
  await vi.advanceTimersByTimeAsync(0);
  expect(watcher.mock.calls).toEqual([[room.status]]);
  expect(room.status.pending).toBe(10);
  off();
  room.send('say');
  await vi.advanceTimersByTimeAsync(0);
  expect(watcher).toHaveBeenCalledTimes(1);
});

test('watchers hear nothing where nothing has changed', async () => {
  const room = opened();
  void room.status;
  const watcher = vi.fn();
  room.watch(watcher);
  FakeSocket.last.receive({ event: '$gap', payload: { from: 1, to: 2 } });
  await vi.advanceTimersByTimeAsync(0);
  expect(watcher).not.toHaveBeenCalled();
});

test('the time of the next dial is known', () => {
  const room = opened();
  FakeSocket.last.end(1012, 'retry in 7000 ms');
  expect(room.status.state).toBe('away');
  expect(room.status.retryAt! - Date.now()).toBeGreaterThanOrEqual(7000);
});

test('a fatal end is up to the application as well', () => {
  const room = opened({ retry: { fatal: ({ code }) => code === 4321 } });
  FakeSocket.last.end(4321);
  expect(room.status.state).toBe('closed');
});

test('the delays follow the options', async () => {
  const room = opened({ retry: { base: 10, max: 20 } });
  const waits: number[] = [];
  room.on('$waiting', ({ ms }) => waits.push(ms));
  for (let n = 0; n < 5; n += 1) {
    FakeSocket.last.end(1006);
    await vi.advanceTimersByTimeAsync(20);
  }
  expect(Math.max(...waits)).toBeLessThanOrEqual(20);
  expect(waits).toHaveLength(5);
});

test('explain has the last 50 transitions, without secrets', async () => {
  const log: Entry[] = [];
  const room = opened({ log: (entry) => log.push(entry), token: 'secret', retry: { base: 1, max: 1 } });
  for (let n = 0; n < 30; n += 1) (await redial()).open({ resumed: true });
  expect(room.explain()).toEqual(log.slice(-50));
  expect(room.explain().map(({ what }) => what)).toContain('$restored');
  expect(JSON.stringify([log, room.status, room.session])).not.toMatch(/token|secret|c2VjcmV0/);
});

test('a listener that throws stops nobody else', async () => {
  const uncaught = vi.fn();
  vi.stubGlobal('queueMicrotask', (task: () => void) => { try { task(); } catch (error) { uncaught(error); } });
  const room = opened();
  const seen = vi.fn();
  room.on('say', () => { throw new Error('mine'); });
  room.on('say', seen);
  FakeSocket.last.receive({ event: 'say' });
  expect(seen).toHaveBeenCalledTimes(1);
  expect(uncaught).toHaveBeenCalledWith(expect.objectContaining({ message: 'mine' }));
});

test('URLs of pages become those of sockets', () => {
  vi.stubGlobal('location', { href: 'https://example.org/page/' });
  dial();
  expect(FakeSocket.last.url).toBe('wss://example.org/ws');
});
