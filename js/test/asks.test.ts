import { describe, expect, test, vi } from 'vitest';
import { AskError, Lost } from '../src/index.js';
import { FakeSocket, dial, opened, redial } from './world.js';

describe('ask', () => {
  test('resolves with the payload of the answer', async () => {
    const room = opened();
    const answer = room.ask('history', { before: 40 });
    const [question] = FakeSocket.last.written;
    expect(question).toMatchObject({ event: 'history', payload: { before: 40 } });
    FakeSocket.last.receive({ event: 'ok', payload: [1], re: question.id });
    expect(await answer).toEqual([1]);
  });

  test('takes the first of several answers, and cancels the rest', async () => {
    const room = opened();
    const answer = room.ask('count', 3);
    const [{ id }] = FakeSocket.last.written;
    FakeSocket.last.receive({ event: 'item', payload: 1, re: id, more: true });
    expect(await answer).toBe(1);
    expect(FakeSocket.last.written).toEqual([{ event: '$cancel', payload: { id } }]);
  });

  test('rejects with the error of the answer', async () => {
    const room = opened();
    const answer = room.ask('history');
    FakeSocket.last.receive({ event: 'error', payload: { code: 'busy', message: 'later' }, re: FakeSocket.last.written[0].id });
    await expect(answer).rejects.toMatchObject({ code: 'busy', message: 'later' });
    await expect(answer).rejects.toBeInstanceOf(AskError);
  });

  test('the answer may come on a later socket', async () => {
    const room = opened();
    const answer = room.ask('history');
    const [{ id }] = FakeSocket.last.written;
    const socket = await redial();
    socket.open({ resumed: true, received: 1 });
    socket.receive({ event: 'ok', payload: 7, re: id });
    expect(await answer).toBe(7);
  });

  test('after the timeout the question is cancelled', async () => {
    const room = opened();
    const answer = expect(room.ask('slow', null, { timeout: 1000 })).rejects.toMatchObject({ code: 'timeout' });
    const [{ id }] = FakeSocket.last.written;
    await vi.advanceTimersByTimeAsync(999);
    expect(FakeSocket.last.written).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    await answer;
    expect(FakeSocket.last.written).toEqual([{ event: '$cancel', payload: { id } }]);
  });

  test('a signal cancels, with its reason', async () => {
    const room = opened();
    const controller = new AbortController();
    const answer = room.ask('slow', null, { signal: controller.signal });
    controller.abort('enough');
    await expect(answer).rejects.toBe('enough');
    expect(FakeSocket.last.written.map(({ event }) => event)).toEqual(['slow', '$cancel']);
    await expect(room.ask('slow', null, { signal: controller.signal })).rejects.toBe('enough');
    expect(FakeSocket.last.written).toEqual([]);
  });

  test('a question that still waits for a socket is taken back', async () => {
    const room = dial();
    const controller = new AbortController();
    const answer = room.ask('slow', null, { signal: controller.signal });
    room.send('after');
    controller.abort('enough');
    await expect(answer).rejects.toBe('enough');
    FakeSocket.last.open();
    expect(FakeSocket.last.written).toEqual([{ event: 'after' }]);
  });

  test('rejects when the session ends', async () => {
    const room = opened();
    const answer = room.ask('history');
    FakeSocket.last.receive({ event: '$ack', payload: 1 });
    FakeSocket.last.end(1011);
    await expect(answer).rejects.toMatchObject({ reason: 'session ended' });
    await expect(answer).rejects.toBeInstanceOf(Lost);
  });

  test('rejects when the outbox is full', async () => {
    const room = opened({ buffer: 1 });
    room.send('first');
    await expect(room.ask('second')).rejects.toMatchObject({ reason: 'full' });
  });

  test('an answer that nobody waits for is an event of its own', () => {
    const room = opened();
    const seen = vi.fn();
    room.on('*', seen);
    room.on('$answer', seen);
    FakeSocket.last.receive({ event: 'ok', re: 'unknown' });
    expect(seen.mock.calls).toEqual([[{ event: 'ok', payload: undefined, re: 'unknown', number: 1 }]]);
  });
});

describe('answers', () => {
  test('iterates until an answer without more', async () => {
    const room = opened();
    const answers = room.answers('count', 3);
    const [{ id }] = FakeSocket.last.written;
    for (const payload of [1, 2, 3]) FakeSocket.last.receive({ event: 'item', payload, re: id, more: payload < 3 });
    const seen = [];
    for await (const payload of answers) seen.push(payload);
    expect(seen).toEqual([1, 2, 3]);
  });

  test('leaving the loop cancels', async () => {
    const room = opened();
    const answers = room.answers('count', 3);
    const [{ id }] = FakeSocket.last.written;
    FakeSocket.last.receive({ event: 'item', payload: 1, re: id, more: true });
    for await (const payload of answers) {
      expect(payload).toBe(1);
      break;
    }
    expect(FakeSocket.last.written).toEqual([{ event: '$cancel', payload: { id } }]);
  });

  test('the timeout begins anew with each answer, and fails the loop', async () => {
    const room = opened();
    const answers = room.answers('count', 3, { timeout: 1000 });
    const [{ id }] = FakeSocket.last.written;
    await vi.advanceTimersByTimeAsync(900);
    FakeSocket.last.receive({ event: 'item', payload: 1, re: id, more: true });
    await vi.advanceTimersByTimeAsync(900);
    FakeSocket.last.receive({ event: 'item', payload: 2, re: id, more: true });
    expect((await answers.next()).value).toBe(1);
    expect((await answers.next()).value).toBe(2);
    const failure = expect(answers.next()).rejects.toMatchObject({ code: 'timeout' });
    await vi.advanceTimersByTimeAsync(1000);
    await failure;
    expect(await answers.next()).toEqual({ value: undefined, done: true });
  });

  test('a reader that lags behind makes the server wait', async () => {
    const room = opened();
    const answers = room.answers('count', 100);
    const [{ id }] = FakeSocket.last.written;
    for (let n = 1; n <= 70; n += 1) FakeSocket.last.receive({ event: 'item', payload: n, re: id, more: true });
    FakeSocket.last.receive({ event: '$sync' });
    expect(FakeSocket.last.written.at(-1)).toEqual({ event: '$ack', payload: 64 });
    await answers.next();
    FakeSocket.last.receive({ event: '$sync' });
    expect(FakeSocket.last.written.at(-1)).toEqual({ event: '$ack', payload: 65 });
  });
});

describe('onAsk', () => {
  test('answers with what the handler returns', async () => {
    const room = opened();
    room.onAsk('add', async ({ a, b }) => a + b);
    FakeSocket.last.receive({ id: 'q', event: 'add', payload: { a: 1, b: 2 } });
    await vi.advanceTimersByTimeAsync(0);
    expect(FakeSocket.last.written).toEqual([{ re: 'q', event: 'ok', payload: 3 }]);
  });

  test('the last of several answers has no more', async () => {
    const room = opened();
    room.onAsk('count', async function* (n) { for (let i = 1; i <= n; i += 1) yield i; });
    FakeSocket.last.receive({ id: 'q', event: 'count', payload: 3 });
    await vi.advanceTimersByTimeAsync(0);
    expect(FakeSocket.last.written).toEqual([
      { re: 'q', event: 'ok', payload: 1, more: true }, { re: 'q', event: 'ok', payload: 2, more: true }, { re: 'q', event: 'ok', payload: 3 },
    ]);
  });

  test('an AskError reaches the server, and no other error', async () => {
    const room = opened();
    room.onAsk('known', () => { throw new AskError('busy', 'later'); });
    FakeSocket.last.receive({ id: 'q', event: 'known' });
    await vi.advanceTimersByTimeAsync(0);
    expect(FakeSocket.last.written).toEqual([{ re: 'q', event: 'error', payload: { code: 'busy', message: 'later' } }]);
  });

  test('a question without a handler is unknown, unless somebody listens', async () => {
    const room = opened();
    FakeSocket.last.receive({ id: 'p', event: 'other' });
    expect(FakeSocket.last.written).toEqual([]);
    const off = room.onAsk('known', () => 1);
    FakeSocket.last.receive({ id: 'q', event: 'other' });
    expect(FakeSocket.last.written).toEqual([{ re: 'q', event: 'error', payload: { code: 'unknown_event', message: 'other' } }]);
    room.on('other', ({ id }) => room.send('mine', null, { re: id! }));
    FakeSocket.last.receive({ id: 'r', event: 'other' });
    expect(FakeSocket.last.written).toEqual([{ re: 'r', event: 'mine', payload: null }]);
    off();
  });

  test('no answer follows a cancel', async () => {
    const room = opened();
    let aborted = false;
    room.onAsk('slow', (_, { signal }) => new Promise((resolve) => {
      signal.addEventListener('abort', () => {
        aborted = true;
        resolve('late');
      });
    }));
    FakeSocket.last.receive({ id: 'q', event: 'slow' });
    FakeSocket.last.receive({ event: '$cancel', payload: { id: 'q' } });
    await vi.advanceTimersByTimeAsync(0);
    expect(aborted).toBe(true);
    expect(FakeSocket.last.written).toEqual([]);
  });
});
