import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Entry, Keep } from '../src/index.js';
import { FakeSocket, dial, opened, redial } from './world.js';

/** Storage of one tab. */
function storage(items = new Map<string, string>()): Keep & { items: Map<string, string> } {
  return { items, get: (key) => items.get(key), set: (key, value) => { items.set(key, value); }, delete: (key) => { items.delete(key); } };
}

/** The page is gone: its connection says and hears nothing any more. */
function reload(): void {
  FakeSocket.last.onmessage = FakeSocket.last.onclose = null;
  FakeSocket.last.close();
  vi.clearAllTimers();
}

describe('a reload', () => {
  test('keeps the session, and sends what was not acknowledged', () => {
    const keep = storage();
    const before = opened({ keep });
    for (const n of [1, 2, 3]) before.send('say', n);
    FakeSocket.last.receive({ event: '$ack', payload: 1 });
    for (let n = 0; n < 5; n += 1) FakeSocket.last.receive({ event: 'news' });
    FakeSocket.last.receive({ event: '$sync' });
    reload();

    const after = dial({ keep });
    return vi.waitFor(() => expect(FakeSocket.last.offers[1]).toBe('rejoin.resume.tokentokentokentoken-1.5')).then(() => {
      expect(after.status).toMatchObject({ state: 'away', pending: 2 });
      FakeSocket.last.written;
      FakeSocket.last.open({ resumed: true, received: 2 });
      expect(FakeSocket.last.written).toEqual([{ event: 'say', payload: 3 }]);
      FakeSocket.last.receive({ event: '$ack', payload: 3 });
      expect([...keep.items.keys()]).toEqual(['rejoin:wss://example.org/ws']);
    });
  });

  test('the counts in storage are never below what the server knows', async () => {
    const keep = storage();
    opened({ keep });
    FakeSocket.last.receive({ event: 'news' });
    FakeSocket.last.receive({ event: '$sync' }); // acknowledged: 1
    FakeSocket.last.receive({ event: 'news' });
    const socket = await redial(); // the offer acknowledges 2
    expect(socket.offers[1]).toMatch(/\.2$/);
    reload();
    dial({ keep });
    await vi.waitFor(() => expect(FakeSocket.last).not.toBe(socket));
    expect(FakeSocket.last.offers[1]).toMatch(/\.2$/);
  });

  test('a session that has ended meanwhile is reported with its frames', async () => {
    const keep = storage();
    opened({ keep }).send('say', 1);
    const old = FakeSocket.last;
    reload();
    const lost = vi.fn();
    const after = dial({ keep });
    after.on('$lost', ({ reason, sends }) => lost(reason, sends.map(({ frame }) => frame.payload)));
    await vi.waitFor(() => expect(FakeSocket.last).not.toBe(old));
    FakeSocket.last.open({ session: 'tokentokentokentoken-2', lost: 'unknown' });
    expect(lost).toHaveBeenCalledWith('unknown', [1]);
  });

  test('close leaves nothing behind', () => {
    const keep = storage();
    const room = opened({ keep });
    room.send('say');
    room.close();
    expect(keep.items.size).toBe(0);
  });

  test('a frame that was taken back is not sent by the next page', async () => {
    const keep = storage();
    const before = opened({ keep });
    before.suspend();
    before.send('cursor', 1, { latest: true });
    before.send('say', 2);
    before.send('cursor', 3, { latest: true });
    const old = FakeSocket.last;
    reload();
    dial({ keep });
    await vi.waitFor(() => expect(FakeSocket.last).not.toBe(old));
    FakeSocket.last.open({ resumed: true });
    expect(FakeSocket.last.written).toEqual([{ event: 'say', payload: 2 }, { event: 'cursor', payload: 3 }]);
  });
});

test('storage that throws does not break sending', () => {
  const keep = storage();
  const log: Entry[] = [];
  let full = false;
  const set = keep.set;
  keep.set = (key, value) => {
    if (full) throw new Error('QuotaExceededError');
    set(key, value);
  };
  const room = opened({ keep, log: (entry) => log.push(entry) });
  room.send('say', 1);
  full = true;
  expect(room.send('say', 2).state).toBe('sent');
  expect(log.at(-1)).toMatchObject({ what: 'keep', detail: expect.stringContaining('QuotaExceededError') });
  FakeSocket.last.receive({ event: '$ack', payload: 2 });
  expect(room.status.pending).toBe(0);
  expect(keep.items.has('rejoin:wss://example.org/ws')).toBe(false);
});

describe("keep: 'reload'", () => {
  let held: Set<string>;
  /** The browser answers requests for locks from then on. */
  let answer: Promise<void>;
  beforeEach(() => {
    answer = Promise.resolve();
    const items = new Map<string, string>();
    held = new Set();
    vi.stubGlobal('sessionStorage', {
      getItem: (key: string) => items.get(key) ?? null, setItem: (key: string, value: string) => items.set(key, value),
      removeItem: (key: string) => items.delete(key),
    });
    vi.stubGlobal('navigator', { locks: {
      async request(name: string, options: LockOptions, callback: (lock: object | null) => Promise<void> | null) {
        await answer;
        expect(options).toEqual({ ifAvailable: true });
        if (held.has(name)) return callback(null);
        held.add(name);
        await callback({ name });
        return held.delete(name);
      },
    } });
  });

  test('holds a lock for its session until it closes', async () => {
    const room = opened({ keep: 'reload' });
    await vi.waitFor(() => expect([...held]).toEqual(['rejoin:tokentokentokentoken-1']));
    room.close();
    await vi.waitFor(() => expect(held.size).toBe(0));
  });

  test('a browser that is slow to answer gives it the lock all the same', async () => {
    vi.useFakeTimers();
    let go!: () => void;
    answer = new Promise((resolve) => { go = resolve; });
    const room = opened({ keep: 'reload' });
    await vi.advanceTimersByTimeAsync(10_000);
    go();
    await vi.advanceTimersByTimeAsync(0);
    expect([...held]).toEqual(['rejoin:tokentokentokentoken-1']);
    room.close();
    vi.useRealTimers();
  });

  test('a second connection of the page to the same URL has a session of its own', () => {
    const log: Entry[] = [];
    const first = opened({ keep: 'reload' });
    const second = dial({ keep: 'reload', log: (entry) => log.push(entry) });
    expect(FakeSocket.last.offers).toEqual(['rejoin.v1.json']);
    expect(log[0]).toMatchObject({ what: 'keep', detail: expect.stringContaining('memory') });
    first.close();
    second.close();
  });

  test('without locks or storage the session lives in memory, and the log says so', () => {
    vi.stubGlobal('navigator', {});
    const log: Entry[] = [];
    const room = opened({ keep: 'reload', log: (entry) => log.push(entry) });
    expect(room.send('say').state).toBe('sent');
    expect(log[0]).toMatchObject({ what: 'keep', detail: expect.stringContaining('memory') });
    room.close();
  });

  test('a duplicated tab gets a session of its own, and keeps what was sent in it', async () => {
    const copy = new Map([
      ['rejoin:wss://example.org/ws', JSON.stringify({
        session: { token: 'tokentokentokentoken-1', id: 'ada', room: 'tea', windowMs: 30_000, buffer: 256, bufferBytes: 1 << 20, maxMessage: 65_536 },
        received: 3, acked: 0, codec: 'json',
      })],
      ['rejoin:wss://example.org/ws#1', 't{"event":"say","payload":"original"}'],
    ]);
    vi.stubGlobal('sessionStorage', {
      getItem: (key: string) => copy.get(key) ?? null, setItem: (key: string, value: string) => copy.set(key, value),
      removeItem: (key: string) => copy.delete(key),
    });
    held.add('rejoin:tokentokentokentoken-1');
    const room = dial({ keep: 'reload' });
    room.send('say', 'duplicate');
    await vi.waitFor(() => expect(FakeSocket.all).toHaveLength(1), { timeout: 2000 });
    expect(FakeSocket.last.offers).toEqual(['rejoin.v1.json']);
    FakeSocket.last.open({ session: 'tokentokentokentoken-2' });
    expect(FakeSocket.last.written).toEqual([{ event: 'say', payload: 'duplicate' }]);
    expect(copy.get('rejoin:wss://example.org/ws#1')).toContain('duplicate');
    room.close();
  });
});
