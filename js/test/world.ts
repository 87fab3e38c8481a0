/** A fake WebSocket, and what a server says. Tests use vitest's fake clock. */
import { afterEach, beforeEach, expect, vi } from 'vitest';
import { connect, type Connection, type Options } from '../src/index.js';

export class FakeSocket {
  static all: FakeSocket[] = [];
  readyState = 0;
  protocol = '';
  bufferedAmount = 0;
  binaryType = 'blob';
  onmessage: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  /** What the client wrote and did not take yet: see `written`. */
  #written: any[] = [];
  closed: number | undefined;

  constructor(readonly url: string, readonly offers: string[]) {
    FakeSocket.all.push(this);
  }

  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!;
  }

  send(text: string): void {
    this.#written.push(JSON.parse(text));
  }

  close(code = 1005): void {
    this.readyState = 2;
    this.closed ??= code;
  }

  /** The frames since the last call. */
  get written(): any[] {
    return this.#written.splice(0);
  }

  receive(frame: object): void {
    this.onmessage!({ data: JSON.stringify(frame) });
  }

  open(members: object = {}): void {
    this.readyState = 1;
    this.protocol = 'rejoin.v1.json';
    this.receive({ event: '$open', payload: { ...OPEN, ...members } });
  }

  end(code: number, reason = ''): void {
    this.readyState = 3;
    this.onclose!({ code, reason });
  }
}

const OPEN = {
  session: 'tokentokentokentoken-1', id: 'ada', room: 'tea', resumed: false, received: 0, window_ms: 30_000, buffer: 256,
  buffer_bytes: 1 << 20, max_message: 65_536,
};

/** Everything in these tests has this type: names and payloads are free. */
export type Free = Connection<Record<string, any>, Record<string, any>, Record<string, (payload: any) => any>>;

export function dial(options: Options = {}): Free {
  return connect('wss://example.org/ws', { WebSocket: FakeSocket, ...options });
}

/** A connection with a session. */
export function opened(options: Options = {}, members: object = {}): Free {
  const room = dial(options);
  FakeSocket.last.open(members);
  return room;
}

/** The socket is lost, and the next one is dialled. */
export async function redial(): Promise<FakeSocket> {
  const before = FakeSocket.last;
  before.end(1006);
  await vi.advanceTimersByTimeAsync(500);
  expect(FakeSocket.last).not.toBe(before);
  return FakeSocket.last;
}

beforeEach(() => {
  FakeSocket.all = [];
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});
