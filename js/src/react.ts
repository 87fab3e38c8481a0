/**
 * `rejoin/react`: hooks for React 18 and 19.
 *
 * ```tsx
 * import { useFrames, useRoom, useStatus } from 'rejoin/react';
 *
 * function Chat() {
 *   const room = useRoom<{ said: { text: string } }, { say: { text: string } }>('wss://example.org/ws?room=tea');
 *   const said = useFrames(room, 'said');
 *   const status = useStatus(room);
 *   return <>
 *     <p>{status?.state}</p>
 *     <ul>{said.map(({ number, payload }) => <li key={number}>{payload.text}</li>)}</ul>
 *     <button onClick={() => room?.send('say', { text: 'hello' })}>Say hello</button>
 *   </>;
 * }
 * ```
 *
 * @module
 */
import { useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { connect, type AnyAsks, type AnyEvents, type Connection, type Message, type Name, type Options, type Status } from './index.js';

interface Shared {
  room: Connection<any, any, any>;
  users: number;
  closing?: ReturnType<typeof setTimeout>;
}

/** The connections that components use, by URL. */
const rooms = new Map<string, Shared>();

/**
 * Connects while the component is mounted. Components with the same URL share one connection, which closes when the last of them
 * has unmounted; in StrictMode, which mounts twice, one socket is opened. Returns `undefined` until the component is mounted, and
 * on a server.
 *
 * @param url no connection if it is `undefined`: before a login, for example
 * @param options those of `connect`, as they are when the connection opens; later changes have no effect
 */
export function useRoom<In extends object = AnyEvents, Out extends object = AnyEvents, Asks extends object = AnyAsks>(
  url: string | URL | undefined, options?: Options,
): Connection<In, Out, Asks> | undefined {
  const [room, setRoom] = useState<Connection<In, Out, Asks>>();
  const key = url && String(url);
  useEffect(() => {
    if (!key) return;
    let shared = rooms.get(key);
    if (!shared) rooms.set(key, shared = { room: connect(key, options), users: 0 });
    const own = shared;
    clearTimeout(own.closing);
    own.users += 1;
    setRoom(own.room);
    return () => {
      setRoom(undefined);
      // StrictMode, and a component that replaces this one, mount again at once.
      if (!--own.users) own.closing = setTimeout(() => {
        rooms.delete(key);
        own.room.close();
      });
    };
  }, [key]);
  return room;
}

/**
 * Returns the messages with this event that have arrived since the component was mounted, the newest last.
 *
 * @param limit the number of messages that are kept; the oldest ones go first. Default: 100
 */
export function useFrames<In extends object, E extends Name<In>>(
  room: Pick<Connection<In, any, any>, 'on'> | undefined, event: E, limit = 100,
): readonly Message<E, In[E]>[] {
  const [subscribe, get] = useMemo(() => {
    let messages: readonly Message<E, In[E]>[] = [];
    return [
      (notify: () => void) => room?.on(event, (message) => {
        messages = [...messages, message].slice(-limit);
        notify();
      }) ?? none,
      () => messages,
    ] as const;
  }, [room, event, limit]);
  return useSyncExternalStore(subscribe, get, get);
}

/** Returns the status of a connection, and renders again when it changes. `undefined` without a connection. */
export function useStatus(room: Pick<Connection, 'status' | 'watch'> | undefined): Status | undefined {
  const [subscribe, get] = useMemo(() => [
    (notify: () => void) => room?.watch(notify) ?? none,
    () => room?.status,
  ] as const, [room]);
  return useSyncExternalStore(subscribe, get, get);
}

const none = () => {};
