import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { connect, type AnyEvents, type Options } from '../src/index.js';
import { msgpack } from '../src/msgpack.js';
import { protobuf } from '../src/protobuf.js';
import { FakeServer, type FakeServerOptions } from '../src/test.js';

type Asks = { history: (q?: { before: number }) => number[]; count: () => number };

beforeEach(() => { vi.useFakeTimers(); });
afterEach(() => { vi.useRealTimers(); });

const run = (ms = 0) => vi.advanceTimersByTimeAsync(ms);

function start(options: FakeServerOptions = {}, client: Options = {}) {
  const server = new FakeServer(options);
  const room = connect<AnyEvents, AnyEvents, Asks>('ws://test', { WebSocket: server.WebSocket, ...options.codec && { codec: options.codec }, ...client });
  const seen: unknown[] = [];
  room.on('*', ({ payload }) => seen.push(payload));
  return { server, room, seen };
}

for (const codec of [undefined, msgpack(), protobuf()]) {
  test(`frames cross in both directions: ${codec?.name ?? 'json'}`, async () => {
    const { server, room, seen } = start(codec && { codec });
    const sent = room.send('say', { text: 'hello' });
    expect((await server.next('say')).payload).toEqual({ text: 'hello' });
    server.send('said', [1, 2]);
    await run();
    expect(seen).toEqual([[1, 2]]);
    expect(sent.state).toBe('acked');
    await sent.acked;
    room.close();
  });
}

test('after a cut both sides resume, and nothing is lost or repeated', async () => {
  const { server, room, seen } = start();
  await run();
  for (let i = 1; i <= 100; i += 1) {
    room.send('say', i);
    server.send('said', i);
    if (i % 7 === 0) server.cut();
    if (i % 3 === 0) await run(i % 2 ? 0 : 2000);
  }
  await run(60_000);
  const all = Array.from({ length: 100 }, (_, i) => i + 1);
  expect(seen).toEqual(all);
  expect(server.received.map(({ payload }) => payload)).toEqual(all);
  expect(server.dials).toBeGreaterThan(5);
  room.close();
});

test('a forgotten session is reported as lost, with what was not acknowledged', async () => {
  const { server, room } = start({ acks: false });
  const lost = vi.fn();
  room.on('$lost', lost);
  await run();
  const sent = room.send('say', 1);
  sent.acked.catch(() => {});
  await run();
  server.forget();
  server.cut();
  await run(2000);
  expect(lost).toHaveBeenCalledWith(expect.objectContaining({ reason: 'unknown', sends: [sent] }));
  expect(room.status.state).toBe('open');
  room.close();
});

test('dials are refused and accepted by hand', async () => {
  const { server, room } = start({ onDial: 'wait' });
  await run();
  expect(room.status.state).toBe('connecting');
  server.refuse();
  await run(1000);
  expect(server.dials).toBe(2);
  server.accept();
  await run();
  expect(room.status.state).toBe('open');
  server.onDial = 'refuse';
  server.cut();
  await run(10_000);
  expect(room.status.state).toBe('away');
  server.onDial = 'accept';
  room.retry();
  await run();
  expect(room.status.state).toBe('open');
  room.close();
});

test('questions are answered, in one or several answers, with errors, and cancelled', async () => {
  const { server, room } = start();
  const one = room.ask('history', { before: 4 });
  server.answer(await server.next('history'), [1, 2]);
  expect(await one).toEqual([1, 2]);
  const failing = expect(room.ask('history')).rejects.toMatchObject({ code: 'forbidden' });
  server.fail(await server.next('history'), 'forbidden');
  await failing;
  const answers = room.answers('count');
  const question = await server.next('count');
  server.answer(question, 1, { more: true });
  expect(await answers.next()).toEqual({ done: false, value: 1 });
  await answers.return?.();
  await run();
  expect(server.cancelled).toEqual([question.id]);
  room.close();
});

test('credentials are seen, and asked for again after 3000', async () => {
  let count = 0;
  const { server, room } = start({}, { token: () => `töken ${count += 1}` });
  await run();
  expect(server.token).toBe('töken 1');
  server.close(3000, 'credentials expired');
  await run(2000);
  expect(server.token).toBe('töken 2');
  expect(room.status.state).toBe('open');
  room.close();
});

test('gaps are reported', async () => {
  const { server, room, seen } = start();
  const gap = vi.fn();
  room.on('$gap', gap);
  await run();
  server.send('said', 1);
  server.gap(3);
  server.send('said', 5);
  await run();
  expect(gap).toHaveBeenCalledWith({ from: 2, to: 4 });
  expect(seen).toEqual([1, 5]);
  server.cut();
  await run(2000);
  server.send('said', 6);
  await run();
  expect(seen).toEqual([1, 5, 6]);
  room.close();
});

test('a close of the client ends the session', async () => {
  const { server, room } = start();
  await run();
  room.close();
  await run();
  expect(server.isOpen).toBe(false);
  expect(room.status.state).toBe('closed');
});
