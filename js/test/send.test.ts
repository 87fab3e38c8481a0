import { describe, expect, test, vi } from 'vitest';
import { Lost } from '../src/index.js';
import { FakeSocket, dial, opened, redial } from './world.js';

describe('the state of a frame', () => {
  test('queued, sent, acked', async () => {
    const room = dial();
    const sent = room.send('say', 1);
    expect(sent.state).toBe('queued');
    FakeSocket.last.open();
    expect(sent.state).toBe('sent');
    FakeSocket.last.receive({ event: '$ack', payload: 1 });
    expect(sent.state).toBe('acked');
    await sent.acked;
  });

  test('lost with the session, which nobody has to handle', async () => {
    const room = opened();
    const [ignored, awaited] = [room.send('say', 1), room.send('say', 2)];
    void ignored.acked;
    const failure = expect(awaited.acked).rejects.toBeInstanceOf(Lost);
    FakeSocket.last.end(1011);
    await failure;
    expect(awaited.error).toMatchObject({ reason: 'session ended' });
    await expect(awaited.acked).rejects.toBe(awaited.error);
  });

  test('full, which is no exception', async () => {
    const room = opened({ buffer: 2 });
    expect([1, 2, 3].map((n) => room.send('say', n).state)).toEqual(['sent', 'sent', 'lost']);
    await expect(room.send('say', 4).acked).rejects.toMatchObject({ reason: 'full' });
    FakeSocket.last.receive({ event: '$ack', payload: 1 });
    expect(room.send('say', 5)).toMatchObject({ state: 'sent', number: 3 });
  });

  test('closed', () => {
    const room = opened();
    room.close();
    expect(room.send('say')).toMatchObject({ state: 'lost', error: { reason: 'closed' } });
  });

  test('what can never be sent throws', () => {
    const room = opened();
    expect(() => room.send('$ack', 1)).toThrow(TypeError);
    expect(() => room.send('\ud800')).toThrow(TypeError);
    expect(() => room.send('say', 1n)).toThrow(TypeError);
  });
});

describe('ttl', () => {
  test('a frame that waits too long is not sent, and those after it move up', async () => {
    const room = opened();
    room.suspend();
    const [old, next] = [room.send('old', 1, { ttl: 100 }), room.send('next', 2)];
    await vi.advanceTimersByTimeAsync(100);
    expect(old).toMatchObject({ state: 'lost', error: { reason: 'expired' } });
    expect(next.number).toBe(1);
    room.retry();
    FakeSocket.last.open({ resumed: true });
    expect(FakeSocket.last.written).toEqual([{ event: 'next', payload: 2 }]);
  });

  test('a frame that was written is never taken back', async () => {
    const room = opened();
    const sent = room.send('say', 1, { ttl: 100 });
    FakeSocket.last.end(1006);
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.open({ resumed: true });
    expect(sent.state).toBe('sent');
    expect(FakeSocket.last.written).toEqual([{ event: 'say', payload: 1 }]);
  });
});

describe('latest', () => {
  test('replaces what still waits for a socket', () => {
    const room = dial();
    const first = room.send('cursor', 1, { latest: true });
    room.send('say', 'a');
    room.send('cursor', 2, { latest: true });
    expect(first).toMatchObject({ state: 'lost', error: { reason: 'replaced' } });
    FakeSocket.last.open();
    expect(FakeSocket.last.written).toEqual([{ event: 'say', payload: 'a' }, { event: 'cursor', payload: 2 }]);
    room.send('cursor', 3, { latest: true });
    room.send('cursor', 4, { latest: true });
    expect(FakeSocket.last.written).toHaveLength(2);
  });
});

describe('volatile', () => {
  test('is not kept, numbered or sent again', async () => {
    const room = opened();
    expect(room.send('cursor', 1, { volatile: true })).toMatchObject({ state: 'sent', number: 0 });
    expect(FakeSocket.last.written).toEqual([{ event: 'cursor', payload: 1, volatile: true }]);
    expect(room.status.pending).toBe(0);
    const socket = await redial();
    expect(room.send('cursor', 2, { volatile: true }).state).toBe('lost');
    socket.open({ resumed: true });
    expect(socket.written).toEqual([]);
  });

  test('is dropped when the socket lags behind', () => {
    const room = opened();
    FakeSocket.last.bufferedAmount = 65_536;
    expect(room.send('cursor', 1, { volatile: true }).state).toBe('lost');
  });
});

describe('ready', () => {
  test('waits until half of the buffer is free, and asks for an acknowledgement', async () => {
    const room = opened({}, { buffer: 4 });
    const done = vi.fn();
    for (let n = 0; n < 3; n += 1) room.send('say', n);
    FakeSocket.last.written;
    void room.ready().then(done);
    expect(FakeSocket.last.written).toEqual([{ event: '$sync' }]);
    await vi.advanceTimersByTimeAsync(0);
    expect(done).not.toHaveBeenCalled();
    FakeSocket.last.receive({ event: '$ack', payload: 1 });
    await vi.advanceTimersByTimeAsync(0);
    expect(done).toHaveBeenCalled();
  });

  test('waits for the bytes in the socket', async () => {
    const room = opened();
    const done = vi.fn();
    FakeSocket.last.bufferedAmount = 1 << 20;
    void room.ready().then(done);
    await vi.advanceTimersByTimeAsync(100);
    expect(done).not.toHaveBeenCalled();
    FakeSocket.last.bufferedAmount = 0;
    await vi.advanceTimersByTimeAsync(50);
    expect(done).toHaveBeenCalled();
  });

  test('rejects when the connection closes', async () => {
    const room = opened({ buffer: 1 });
    room.send('say');
    const failure = expect(room.ready()).rejects.toMatchObject({ reason: 'closed' });
    room.close();
    await failure;
  });
});

test('await using waits for acknowledgements', async () => {
  const room = opened();
  room.send('say');
  const disposed = room[Symbol.asyncDispose]();
  expect(FakeSocket.last.written.map(({ event }) => event)).toEqual(['say', '$sync']);
  expect(room.status.state).toBe('open');
  FakeSocket.last.receive({ event: '$ack', payload: 1 });
  await disposed;
  expect(FakeSocket.last.closed).toBe(1000);
});
