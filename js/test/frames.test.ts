import { expect, test, vi } from 'vitest';
import { FakeSocket, opened, redial } from './world.js';

const say = (payload: number) => FakeSocket.last.receive({ event: 'say', payload });

test('iterates over frames, and ends with the connection', async () => {
  const room = opened();
  const frames = room.frames();
  say(1);
  say(2);
  room.close();
  const seen = [];
  for await (const { payload, number } of frames) seen.push([payload, number]);
  expect(seen).toEqual([[1, 1], [2, 2]]);
});

test('a signal ends the iteration', async () => {
  const room = opened();
  const controller = new AbortController();
  const frames = room.frames({ signal: controller.signal });
  const next = frames.next();
  controller.abort();
  expect(await next).toEqual({ value: undefined, done: true });
  expect(await room.frames({ signal: controller.signal }).next()).toEqual({ value: undefined, done: true });
});

test('what a slow reader has not taken is not acknowledged', async () => {
  const room = opened();
  const frames = room.frames({ limit: 2 });
  for (const n of [1, 2, 3, 4]) say(n);
  FakeSocket.last.receive({ event: '$sync' });
  expect(FakeSocket.last.written).toEqual([{ event: '$ack', payload: 2 }]);
  expect((await frames.next()).value).toMatchObject({ payload: 1 });
  expect((await frames.next()).value).toMatchObject({ payload: 2 });
  // PROTOCOL.md R4.32: once more, when the rest is counted
  expect(FakeSocket.last.written).toEqual([{ event: '$ack', payload: 4 }]);
});

test('acknowledgements are read while a reader is slow', () => {
  const room = opened();
  room.frames({ limit: 1 });
  const sent = room.send('say');
  say(1);
  say(2);
  FakeSocket.last.receive({ event: '$ack', payload: 1 });
  expect(sent.state).toBe('acked');
});

test('frames that were not taken come again with the next socket', async () => {
  const room = opened();
  const frames = room.frames({ limit: 1 });
  for (const n of [1, 2, 3]) say(n);
  const socket = await redial();
  expect(socket.offers[1]).toBe('rejoin.resume.tokentokentokentoken-1.1');
  socket.open({ resumed: true });
  for (const n of [2, 3]) say(n);
  const seen = [];
  for (let n = 0; n < 3; n += 1) seen.push((await frames.next()).value!.payload);
  expect(seen).toEqual([1, 2, 3]);
});

test('a gap keeps its place behind frames that wait', async () => {
  const room = opened();
  const gap = vi.fn();
  room.on('$gap', gap);
  const frames = room.frames({ limit: 1 });
  say(1);
  say(2);
  FakeSocket.last.receive({ event: '$gap', payload: { from: 3, to: 9 } });
  expect(gap).not.toHaveBeenCalled();
  await frames.next();
  await frames.next();
  expect(gap).toHaveBeenCalledWith({ from: 3, to: 9 });
});

test('a reader that never reads costs a bounded number of frames', () => {
  const room = opened({}, { buffer: 4 });
  room.frames({ limit: 1 });
  for (let n = 0; n < 10; n += 1) say(n);
  expect(FakeSocket.last.closed).toBe(4001);
  expect(room.status.state).toBe('away');
});

test('leaving the loop lets frames pass', async () => {
  const room = opened();
  const frames = room.frames({ limit: 1 });
  for (const n of [1, 2, 3]) say(n);
  for await (const { payload } of frames) {
    expect(payload).toBe(1);
    break;
  }
  FakeSocket.last.receive({ event: '$sync' });
  expect(FakeSocket.last.written.at(-1)).toEqual({ event: '$ack', payload: 3 });
});
