import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { expect, test } from 'vitest';
// @ts-expect-error it has no types
import { bundle } from '../build.mjs';
import { FakeSocket } from './world.js';

/** What browsers, workers, Node, Deno, Bun and React Native all have. */
const EVERYWHERE = { URL, TextEncoder, AbortController, setTimeout, clearTimeout, setInterval, clearInterval, performance, btoa, queueMicrotask };

async function load(globals: object): Promise<any> {
  const built = await bundle(fileURLToPath(new URL('../src/index.ts', import.meta.url)), { format: 'iife', globalName: 'rejoin' });
  const context = createContext({ ...EVERYWHERE, ...globals });
  runInContext(`${built}\nglobalThis.exported = rejoin;`, context);
  return context.exported;
}

test('no other global is needed', async () => {
  const { connect } = await load({ WebSocket: FakeSocket });
  const notes: string[] = [];
  const room = connect('wss://example.org/ws', {
    keep: 'reload', hidden: { closeAfter: 1 }, token: 'secret', log: ({ what }: { what: string }) => notes.push(what),
  });
  FakeSocket.last.open();
  const answer = room.ask('sum');
  FakeSocket.last.receive({ event: 'ok', payload: 3, re: FakeSocket.last.written[0].id });
  expect(await answer).toBe(3);
  room.suspend();
  room.retry();
  FakeSocket.last.open({ resumed: true, received: 1 });
  room.close();
  expect(notes).toEqual(['keep', 'dial', '$open', '$dropped', 'dial', '$restored', '$closed']);
});

test('without a WebSocket the error names the remedy', async () => {
  const { connect } = await load({});
  expect(() => connect('wss://example.org/ws')).toThrow(/package `ws`/);
});
