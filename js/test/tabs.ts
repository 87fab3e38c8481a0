/** Tabs of one origin, each with its ends of the `BroadcastChannel` and its requests of Web Locks, which end when it is killed. */
import { afterEach, beforeEach, vi } from 'vitest';
import { connect, type SharedConnection, type SharedOptions } from '../src/shared.js';
import { FakeServer, type FakeServerOptions } from '../src/test.js';

/** Names and payloads are free. */
export type Room = SharedConnection<Record<string, any>, Record<string, any>, Record<string, (payload: any) => any>>;

class Tab {
  static all: Tab[] = [];
  /** The tab whose script runs. */
  static current: Tab;
  isAlive = true;
  unlock: (() => void) | undefined;

  constructor() {
    Tab.all.push(this);
  }

  run<T>(action: () => T): T {
    Tab.current = this;
    return action();
  }
}

let channels: Channel[] = [];

class Channel {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  readonly tab = Tab.current;

  constructor(readonly name: string) {
    channels.push(this);
  }

  postMessage(message: unknown): void {
    if (!this.tab.isAlive) return;
    const data = structuredClone(message);
    for (const other of channels) {
      if (other !== this && other.name === this.name) {
        queueMicrotask(() => { if (other.tab.isAlive && channels.includes(other)) other.tab.run(() => other.onmessage?.({ data: structuredClone(data) })); });
      }
    }
  }

  close(): void {
    channels = channels.filter((other) => other !== this);
  }
}

interface Request { name: string; tab: Tab; grant(): void }
let requests: Request[] = [];
let holder: Request | undefined;

const grantNext = () => {
  holder = requests.shift();
  holder?.tab.run(holder.grant);
};

const locks = {
  request(name: string, { signal }: { signal: AbortSignal }, callback: () => Promise<void>) {
    return new Promise<void>((resolve, reject) => {
      const own: Request = {
        name, tab: Tab.current,
        grant: () => void callback().then(() => {
          if (holder === own) grantNext();
          resolve();
        }),
      };
      signal.addEventListener('abort', () => {
        requests = requests.filter((request) => request !== own);
        reject(signal.reason);
      });
      requests.push(own);
      if (!holder) grantNext();
    });
  },
  query: async () => ({ pending: requests.map(({ name }) => ({ name })) }),
};

export let server: FakeServer;
const tabs = new Map<Room, Tab>();

export function serve(options: FakeServerOptions = {}): void {
  server = new FakeServer(options);
}

/** Opens a tab. */
export function open(options: SharedOptions = {}): Room {
  const tab = new Tab();
  return tab.run(() => {
    const { WebSocket } = server;
    const room = connect('wss://example.org/ws', {
      ...options,
      // What a tab that was killed has not written is never written; what was written arrives.
      WebSocket: class extends WebSocket {
        override send(data: any) { if (tab.isAlive) super.send(data); }
        override close(...parameters: any[]) { if (tab.isAlive) super.close(...parameters); }
      },
    }) as Room;
    tabs.set(room, tab);
    return room;
  });
}

/** The tab's process ends: it says and hears nothing any more, and the browser takes its lock back. */
export async function kill(room: Room): Promise<void> {
  const tab = tabs.get(room)!;
  tab.isAlive = false;
  for (let n = 0; n < 5; n += 1) await Promise.resolve(); // what it has written and posted arrives
  requests = requests.filter((request) => request.tab !== tab);
  if (holder?.tab === tab) {
    server.cut();
    grantNext();
  }
  await idle();
}

/** Everything that follows without time has happened. */
export const idle = () => new Promise((resolve) => { setImmediate(resolve); });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date', 'performance'] });
  vi.stubGlobal('BroadcastChannel', Channel);
  vi.stubGlobal('navigator', { locks });
  vi.stubGlobal('location', new URL('https://example.org/'));
  Tab.all = [];
  channels = [];
  requests = [];
  holder = undefined;
  tabs.clear();
  serve();
});
afterEach(() => {
  for (const tab of Tab.all) tab.isAlive = false;
  vi.useRealTimers();
  vi.unstubAllGlobals();
});
