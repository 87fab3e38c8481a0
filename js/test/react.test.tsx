// @vitest-environment happy-dom
import { StrictMode, act, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { useFrames, useRoom, useStatus } from '../src/react.js';
import { FakeServer } from '../src/test.js';

(globalThis as any).IS_REACT_ACT_ENVIRONMENT = true;

let server: FakeServer;
let root: ReturnType<typeof createRoot>;
let page: HTMLElement;
beforeEach(() => {
  vi.useFakeTimers();
  server = new FakeServer();
  page = document.createElement('div');
  root = createRoot(page);
});
afterEach(async () => {
  await act(() => root.unmount());
  await run();
  vi.useRealTimers();
});

const run = (ms = 1) => act(() => vi.advanceTimersByTimeAsync(ms));

function Room({ url = 'ws://test/a' }: { url?: string }) {
  const room = useRoom<{ said: string }, { say: string }>(url, { WebSocket: server.WebSocket });
  const said = useFrames(room, 'said', 2);
  return <p onClick={() => room?.send('say', 'hello')}>{useStatus(room)?.state}: {said.map(({ payload }) => payload).join()}</p>;
}

test('StrictMode opens one socket', async () => {
  await act(() => root.render(<StrictMode><Room /></StrictMode>));
  await run();
  expect(server.dials).toBe(1);
  expect(page.textContent).toBe('open: ');
});

test('frames and states are rendered, the newest frames only', async () => {
  await act(() => root.render(<Room />));
  await run();
  for (const word of ['a', 'b', 'c']) server.send('said', word);
  await run();
  expect(page.textContent).toBe('open: b,c');
  await act(async () => server.cut());
  await run();
  expect(page.textContent).toBe('away: b,c');
  await run(2000);
  expect(page.textContent).toBe('open: b,c');
});

test('components share a connection, which closes after the last one', async () => {
  let setCount = (_: number) => {};
  const Rooms = () => {
    const [count, set] = useState(2);
    setCount = set;
    return Array.from({ length: count }, (_, i) => <Room key={i} />);
  };
  await act(() => root.render(<Rooms />));
  await run();
  expect(server.dials).toBe(1);
  await act(() => setCount(1));
  await run();
  expect(server.isOpen).toBe(true);
  await act(() => setCount(0));
  await run();
  expect(server.isOpen).toBe(false);
});

test('another URL is another connection', async () => {
  await act(() => root.render(<Room />));
  await run();
  await act(() => root.render(<Room url="ws://test/b" />));
  await run();
  expect(server.dials).toBe(2);
  expect(page.textContent).toBe('open: ');
});

test('a server renders without a connection', () => {
  expect(renderToString(<Room />)).toContain('<p>');
  expect(server.dials).toBe(0);
});
