import { expect, test, vi } from 'vitest';
import { FakeSocket, dial } from './world.js';

const auth = () => FakeSocket.last.offers.find((offer) => offer.startsWith('rejoin.auth.'));

test('the source hears why it is asked', async () => {
  const reasons: string[] = [];
  dial({ token: ({ reason }) => `token ${reasons.push(reason)}` });
  await vi.advanceTimersByTimeAsync(0);
  expect(auth()).toBe(`rejoin.auth.${btoa('token 1').replaceAll('=', '')}`);
  FakeSocket.last.end(1006); // a refusal looks like this to a page
  await vi.advanceTimersByTimeAsync(500);
  FakeSocket.last.open();
  FakeSocket.last.end(3000, 'credentials expired');
  await vi.advanceTimersByTimeAsync(1000);
  FakeSocket.last.open({ resumed: true });
  FakeSocket.last.end(1006);
  await vi.advanceTimersByTimeAsync(2000);
  expect(reasons).toEqual(['connect', 'refused', 'expired', 'reconnect']);
  expect(FakeSocket.last.offers[1]).toBe('rejoin.resume.tokentokentokentoken-1.0');
});

test('a dial that is given up aborts the signal', async () => {
  const signals: AbortSignal[] = [];
  const room = dial({ token: ({ signal }) => {
    signals.push(signal);
    return new Promise(() => {});
  } });
  await vi.advanceTimersByTimeAsync(14_999);
  expect(signals[0]!.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(signals[0]!.aborted).toBe(true);
  await vi.advanceTimersByTimeAsync(500);
  expect(signals).toHaveLength(2);
  room.close();
  expect(signals[1]!.aborted).toBe(true);
});

test('a login is a suspension and a retry', async () => {
  let user = 'ada';
  const room = dial({ token: async () => user });
  await vi.advanceTimersByTimeAsync(0);
  FakeSocket.last.open();
  user = 'bob';
  room.suspend();
  room.retry();
  await vi.advanceTimersByTimeAsync(0);
  expect(auth()).toBe(`rejoin.auth.${btoa('bob').replaceAll('=', '')}`);
  FakeSocket.last.open({ session: 'tokentokentokentoken-2', lost: 'identity' });
  expect(room.session!.token).toBe('tokentokentokentoken-2');
});
