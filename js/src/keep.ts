import type { Journal } from './journal.js';
import type { SentFrame } from './sent.js';
import type { Keep, Options, Session } from './types.js';

/** The stored state, besides the frames, which are under their numbers, from `acked` + 1. */
interface Kept {
  session: Session;
  received: number;
  acked: number;
  codec: string;
}

/** How long a reloaded page waits for the lock of the page before it. A duplicated tab waits in vain. */
const LOCK_PATIENCE = 300;

/** Names whose storage a connection of this page uses. */
const inUse = new Set<string>();

export type Shelf = ReturnType<typeof createShelf>;

/**
 * A session and its unacknowledged sends in storage, each send under its own key, so that a send costs one write. If storage
 * fails, it is left alone from then on: a part of the sends would be worse than none.
 */
export function createShelf(keep: Options['keep'], url: string, codec: string, journal: Journal) {
  const name = `rejoin:${url}`;
  let storage: Keep | undefined;
  let locks: LockManager | undefined;
  let unlock: (() => void) | undefined;
  let locked = '';
  let acked = 0;
  if (keep === 'reload') {
    try {
      locks = navigator.locks;
      if (!inUse.has(name) && locks) storage = pageStorage(sessionStorage);
    } catch { /* there is none, or the page may not use it */ }
    if (storage) inUse.add(name);
    else journal._note('keep', 'memory: no storage or locks');
  } else if (keep !== 'memory') {
    storage = keep;
  }
  const attempt = <T>(action: (storage: Keep) => T): T | undefined => {
    const own = storage;
    try {
      return own && action(own);
    } catch (error) {
      storage = undefined;
      journal._note('keep', `memory: ${error}`);
      try { own!.delete(name); } catch { /* what cannot be written cannot be deleted either */ }
    }
  };
  const key = (number: number) => `${name}#${number}`;
  const shelf = {
    /** The previous page's state, and the messages of its frames. */
    _load: () => attempt((from): [Kept, (string | Uint8Array<ArrayBuffer>)[]] | undefined => {
      const kept: Kept | null = JSON.parse(from.get(name) || 'null');
      if (kept?.codec !== codec) return undefined;
      const frames = [];
      acked = kept.acked;
      for (let data; (data = from.get(key(acked + frames.length + 1)));) frames.push(unpack(data));
      return [kept, frames];
    }),

    /**
     * Holds the lock of a session, so that no other page resumes it. Resolves to false if another page still holds it after
     * `LOCK_PATIENCE`. Each try waits for the browser's answer: a request that gives up after a time would also fail, on a busy
     * machine, for a lock that nobody holds.
     */
    _claim: async (token: string): Promise<boolean> => {
      if (!locks || locked === token) return true;
      unlock?.();
      locked = token;
      for (const start = Date.now(); ; await new Promise((wake) => { setTimeout(wake, 20); })) {
        const isOurs = await new Promise((resolve) => {
          locks!.request(`rejoin:${token}`, { ifAvailable: true }, (lock) => {
            resolve(lock);
            return lock && new Promise<void>((release) => { unlock = release; });
          }).catch(() => resolve(null));
        });
        if (isOurs || Date.now() - start > LOCK_PATIENCE) return !!isOurs;
      }
    },

    /**
     * Saves the counts before they are acknowledged: an offer must never be below an acknowledgement. Deletes the frames
     * that the server has acknowledged.
     */
    _save(session: Session | undefined, received: number, upTo: number) {
      if (session) attempt((to) => {
        to.set(name, JSON.stringify({ session: { ...session, token: session.token }, received, acked: upTo, codec }));
        while (acked < upTo) to.delete(key(++acked));
      });
    },

    _put({ number, _data }: SentFrame) { attempt((to) => to.set(key(number), pack(_data))); },

    _delete(sends: SentFrame[]) { attempt((from) => { for (const { number } of sends) from.delete(key(number)); }); },

    /** The session has ended, and its frames are deleted. */
    _end() {
      acked = 0;
      attempt((from) => from.delete(name));
    },

    _close() {
      unlock?.();
      if (storage) inUse.delete(name);
    },
  };
  return shelf;
}

const pageStorage = (storage: Storage): Keep => ({
  get: (key) => storage.getItem(key),
  set: (key, value) => storage.setItem(key, value),
  delete: (key) => storage.removeItem(key),
});

/** Storage holds texts. Bytes become one character each. */
const pack = (data: string | Uint8Array): string => (typeof data === 'string' ? `t${data}`
  : data.reduce((text, byte) => text + String.fromCharCode(byte), 'b'));
const unpack = (text: string): string | Uint8Array<ArrayBuffer> => (text[0] === 't' ? text.slice(1)
  : Uint8Array.from(text.slice(1), (character) => character.charCodeAt(0)));
