import { describe, expect, test, vi } from 'vitest';
import type { Sent } from '../src/index.js';
import { idle, kill, open, serve, server, type Room } from './tabs.js';

/** What arrives in a tab. */
function listen(room: Room): unknown[] {
  const seen: unknown[] = [];
  room.on('say', ({ payload }) => seen.push(payload));
  return seen;
}

/** Two tabs, of which the first has the socket. */
async function two(): Promise<[Room, Room]> {
  const tabs: [Room, Room] = [open(), open()];
  await idle();
  return tabs;
}

const received = () => server.received.map(({ event, payload }) => [event, payload]);
const states = (sends: readonly Sent[]) => sends.map(({ state }) => state);

test('one socket for all tabs', async () => {
  const rooms = await two();
  const third = open();
  await idle();
  expect(server.dials).toBe(1);
  for (const room of [...rooms, third]) {
    expect(room.status.state).toBe('open');
    expect(room.session).toMatchObject({ id: 'test', room: 'test' });
  }
});

test('every frame reaches every tab, and none tells the token', async () => {
  const rooms = await two();
  const seen = rooms.map(listen);
  const all = vi.fn();
  rooms[1].on('*', all);
  server.send('say', 1);
  server.send('other', { deep: [1] }, { room: 'tea' });
  await idle();
  expect(seen).toEqual([[1], [1]]);
  expect(all.mock.calls.map(([message]) => message)).toMatchObject([{ event: 'say', number: 1 }, { event: 'other', number: 2, payload: { deep: [1] }, room: 'tea' }]);
  expect(JSON.stringify(rooms[1].status)).not.toContain('test-session');
});

describe('a frame of a tab without the socket', () => {
  test('is queued, sent, acknowledged', async () => {
    serve({ acks: false });
    const [, room] = await two();
    room.suspend();
    await idle();
    const sent = room.send('say', 1);
    await idle();
    expect(sent).toMatchObject({ state: 'queued', number: 1, size: 27 });
    const reported = vi.fn();
    for (const event of ['$sent', '$acked'] as const) room.on(event, ({ sends }) => reported(event, sends));
    room.retry();
    await idle();
    expect(sent.state).toBe('sent');
    server.ack();
    await idle();
    expect(sent.state).toBe('acked');
    await sent.acked;
    expect(reported.mock.calls).toEqual([['$sent', [sent]], ['$acked', [sent]]]);
    expect(received()).toEqual([['say', 1]]);
  });

  test('may expire, be replaced, be too big', async () => {
    const [, room] = await two();
    room.suspend();
    const expired = room.send('say', 1, { ttl: 50 });
    const replaced = room.send('cursor', 1, { latest: true });
    const last = room.send('cursor', 2, { latest: true });
    await idle();
    await vi.advanceTimersByTimeAsync(50);
    await idle();
    expect([expired, replaced].map(({ error }) => error?.reason)).toEqual(['expired', 'replaced']);
    room.retry();
    await idle();
    expect(last.state).toBe('acked');
    expect(received()).toEqual([['cursor', 2]]);
    const big = room.send('say', 'x'.repeat(70_000));
    await idle();
    expect(big.error).toMatchObject({ reason: 'too big', limit: 65_536 });
  });

  test('keeps its owner when those before it are taken out', async () => {
    const [one, other] = await two();
    one.suspend();
    await idle();
    const first = one.send('say', 'a', { ttl: 50 });
    const second = other.send('say', 'b');
    await idle();
    await vi.advanceTimersByTimeAsync(50);
    await idle();
    await kill(one);
    other.retry();
    await idle();
    expect(first.state).toBe('lost');
    expect(second.state).toBe('acked');
    expect(received()).toEqual([['say', 'b']]);
  });

  test('is refused at once if it can never be sent', async () => {
    const [, room] = await two();
    expect(() => room.send('$ack')).toThrow(TypeError);
    expect(() => room.send('say', 1n)).toThrow(TypeError);
  });

  test('may be volatile', async () => {
    const [, room] = await two();
    const sent = room.send('cursor', 1, { volatile: true });
    await idle();
    expect(sent.state).toBe('sent');
    room.suspend();
    const lost = room.send('cursor', 2, { volatile: true });
    await idle();
    expect(lost.error?.reason).toBe('volatile');
  });
});

describe('when the leader is killed', () => {
  test('the next tab resumes the session, and nothing is lost or repeated', async () => {
    serve({ acks: false });
    const [leader, one] = await two();
    const other = open();
    await idle();
    const seen = [one, other].map(listen);
    const sends = [one.send('say', 'a'), other.send('say', 'b')];
    server.send('say', 1);
    server.send('say', 2);
    await idle();
    await kill(leader);
    expect(server.dials).toBe(2);
    sends.push(one.send('say', 'c'), other.send('say', 'd'));
    server.send('say', 3);
    await idle();
    server.ack();
    await idle();
    expect(states(sends)).toEqual(['acked', 'acked', 'acked', 'acked']);
    expect(received().map(([, payload]) => payload)).toEqual(['a', 'b', 'c', 'd']);
    expect(seen).toEqual([[1, 2, 3], [1, 2, 3]]);
  });

  test('before it has accepted a frame, the next leader accepts it', async () => {
    const [leader, room] = await two();
    const sent = room.send('say', 'a');
    await kill(leader);
    await idle();
    expect(sent.state).toBe('acked');
    expect(received()).toEqual([['say', 'a']]);
  });

  test('when the server has a frame, and nobody else knows that it acknowledged it', async () => {
    const [leader, room] = await two();
    const sent = room.send('say', 'a');
    for (let n = 0; n < 40 && !server.received.length; n += 1) await Promise.resolve();
    expect(server.received).toHaveLength(1);
    await kill(leader);
    await idle();
    expect(sent.state).toBe('acked');
    expect(received()).toEqual([['say', 'a']]);
  });

  test('between any two steps of a send, the others know what the server may have', async () => {
    for (let steps = 0; steps < 30; steps += 1) {
      serve();
      const [leader, room] = await two();
      leader.send('say', 'a');
      const other = room.send('say', 'b');
      for (let n = 0; n < steps; n += 1) await Promise.resolve();
      await kill(leader);
      await idle();
      expect([steps, room.status.state, other.state]).toEqual([steps, 'open', 'acked']);
      expect(received().filter(([, payload]) => payload === 'b')).toHaveLength(1);
      expect(received().filter(([, payload]) => payload === 'a').length).toBeLessThanOrEqual(1);
      room.close();
      await idle();
    }
  });

  test('a question is answered once, by the next leader', async () => {
    const [leader, room] = await two();
    const answer = room.ask('sum', [1, 2]);
    await idle();
    await kill(leader);
    server.answer(await server.next('sum'), 3);
    await idle();
    expect(await answer).toBe(3);
    expect(received()).toHaveLength(1);
  });

  test('a tab that opens later does not get what the others have had', async () => {
    const [leader, room] = await two();
    server.send('say', 1);
    await idle();
    const late = open();
    await idle();
    const seen = [listen(room), listen(late)];
    await kill(leader);
    server.send('say', 2);
    await idle();
    expect(seen).toEqual([[2], [2]]);
  });

  test('a suspended connection stays so', async () => {
    const [leader, room] = await two();
    room.suspend();
    await idle();
    await kill(leader);
    expect(room.status.state).toBe('suspended');
    expect(server.isOpen).toBe(false);
    room.retry();
    await idle();
    expect(room.status.state).toBe('open');
  });

  test('a session that has ended meanwhile is reported, with the frames of this tab', async () => {
    serve({ acks: false });
    const [leader, room] = await two();
    const sent = room.send('say', 'a');
    leader.send('say', 'b');
    await idle();
    const lost = vi.fn();
    room.on('$lost', ({ reason, sends }) => lost(reason, sends));
    server.forget();
    await kill(leader);
    expect(lost.mock.calls).toEqual([['unknown', [sent]]]);
    expect(sent.error?.reason).toBe('session ended');
  });
});

test('each tab has its own credentials', async () => {
  const reasons: string[] = [];
  const token = (name: string) => ({ reason }: { reason: string }) => {
    reasons.push(`${name} ${reason}`);
    return name;
  };
  const one = open({ token: token('one') });
  open({ token: token('other') });
  await idle();
  expect(server.token).toBe('one');
  await kill(one);
  expect(server.token).toBe('other');
  expect(reasons).toEqual(['one connect', 'other connect']);
});

describe('questions of a tab without the socket', () => {
  test('have one answer or several', async () => {
    const [, room] = await two();
    const answer = room.ask('sum');
    const answers = room.answers('list');
    await idle();
    server.answer(await server.next('sum'), 3);
    const list = await server.next('list');
    server.answer(list, 'a', { more: true });
    server.answer(list, 'b');
    expect(await answer).toBe(3);
    const all = [];
    for await (const item of answers) all.push(item);
    expect(all).toEqual(['a', 'b']);
  });

  test('fail, time out, and are cancelled', async () => {
    const [, room] = await two();
    const failed = room.ask('sum');
    await idle();
    server.fail(await server.next('sum'), 'no_such_sum');
    await expect(failed).rejects.toMatchObject({ code: 'no_such_sum' });
    const late = room.ask('late', undefined, { timeout: 100 });
    const outcome = expect(late).rejects.toMatchObject({ code: 'timeout' });
    await idle();
    const { id } = await server.next('late');
    await vi.advanceTimersByTimeAsync(100);
    await outcome;
    await idle();
    expect(server.cancelled).toEqual([id]);
  });

  test('end with the session', async () => {
    const [, room] = await two();
    const outcome = expect(room.ask('sum')).rejects.toMatchObject({ reason: 'session ended' });
    await idle();
    server.forget();
    server.cut();
    await vi.advanceTimersByTimeAsync(500);
    await outcome;
  });
});

test('a question of the server is answered once', async () => {
  const rooms = await two();
  const seen = vi.fn();
  rooms.forEach((room, index) => {
    room.onAsk('who', () => index);
    room.on('who', seen);
  });
  server.send('who', undefined, { id: 'q' });
  await idle();
  expect(server.received).toMatchObject([{ re: 'q', payload: 0 }]);
  expect(seen).not.toHaveBeenCalled();
});

test('frames are read one by one', async () => {
  const [, room] = await two();
  const frames = room.frames();
  server.send('say', 1);
  server.send('say', 2);
  expect((await frames.next()).value).toMatchObject({ payload: 1 });
  expect((await frames.next()).value).toMatchObject({ payload: 2 });
  room.close();
  expect((await frames.next()).done).toBe(true);
});

test('ready waits until half of the buffer is free', async () => {
  serve({ acks: false });
  open({ buffer: 4 });
  const room = open({ buffer: 4 });
  await idle();
  room.suspend();
  for (let n = 0; n < 3; n += 1) room.send('say', n);
  const ready = vi.fn();
  const waiting = room.ready().then(ready);
  await idle();
  expect(ready).not.toHaveBeenCalled();
  room.retry();
  await waiting;
});

describe('close', () => {
  test('of the leader: the next tab resumes', async () => {
    const [leader, room] = await two();
    const events = vi.fn();
    for (const event of ['$restored', '$open', '$lost'] as const) room.on(event, () => events(event));
    leader.close();
    await idle();
    expect(server.dials).toBe(2);
    expect(events.mock.calls).toEqual([['$restored']]);
    expect(leader.status.state).toBe('closed');
    expect(room.status.state).toBe('open');
  });

  test('of the last tab ends the session', async () => {
    const [leader, room] = await two();
    room.close();
    leader.close();
    await idle();
    open();
    await idle();
    expect(server.dials).toBe(2);
    server.send('say', 1);
    expect(server.isOpen).toBe(true);
  });

  test('is the end of a tab', async () => {
    serve({ acks: false });
    const [, room] = await two();
    const sent = room.send('say', 1);
    const question = expect(room.ask('sum')).rejects.toMatchObject({ reason: 'closed' });
    const closed = vi.fn();
    room.on('$closed', ({ sends }) => closed(sends));
    const any = vi.fn();
    await idle();
    room.close();
    room.on('*', any);
    room.watch(any);
    expect(closed.mock.calls).toMatchObject([[[sent, { state: 'lost' }]]]);
    await question;
    server.send('say', 2);
    room.retry();
    await idle();
    expect(any).not.toHaveBeenCalled();
    expect(room.status.state).toBe('closed');
    expect(room.send('say').error?.reason).toBe('closed');
    await expect(room.ready()).rejects.toMatchObject({ reason: 'closed' });
  });
});

test('without locks each tab has a connection of its own, and the log says so', () => {
  vi.stubGlobal('navigator', {});
  const log = vi.fn();
  open({ log }).close();
  open({ log }).close();
  expect(server.dials).toBe(2);
  expect(log.mock.calls[0]![0]).toMatchObject({ what: 'shared' });
});
