import type { Journal } from './journal.js';
import type { SentFrame } from './sent.js';
import type { Keep, Options, Session } from './types.js';

/** What the storage holds besides the frames: they are under the keys `first`, `first` + 1, … without a hole. */
export interface Kept {
  session: Session;
  received: number;
  acked: number;
  codec: string;
  first: number;
}

/** How long a reloaded page waits for the lock of the page before it. A duplicated tab waits in vain. */
const LOCK_PATIENCE = 300;

/** Names whose storage a connection of this page uses. */
const inUse = new Set<string>();

/**
 * A session and its unacknowledged sends in storage, each send under its own key, so that a send costs one write. If storage
 * fails, it is emptied and left alone: a part of the sends would be worse than none.
 */
export class Shelf {
  #storage: Keep | undefined;
  #locks: LockManager | undefined;
  #name;
  #first = 0;
  #next = 0;
  #release: (() => void) | undefined;
  #locked = '';

  constructor(keep: Options['keep'], url: string, readonly _journal: Journal) {
    this.#name = `rejoin:${url}`;
    if (keep === undefined || keep === 'memory') return;
    if (keep !== 'reload') {
      this.#storage = keep;
    } else {
      try {
        this.#locks = typeof navigator === 'undefined' ? undefined : navigator.locks;
        if (this.#locks && !inUse.has(this.#name)) this.#storage = pageStorage(sessionStorage);
      } catch { /* a page that may not use storage */ }
      if (this.#storage) inUse.add(this.#name);
      else _journal._note('keep', 'memory: no storage, no Web Locks, or a second connection to this URL');
    }
  }

  /** What the page before this one left behind: the newest state, and the messages of its frames. */
  _load(codec: string): [Kept, (string | Uint8Array<ArrayBuffer>)[]] | undefined {
    return this.#attempt((storage) => {
      const text = storage.get(this.#name);
      const kept: Kept | undefined = text ? JSON.parse(text) : undefined;
      const frames = [];
      this.#first = this.#next = kept?.first ?? 0;
      for (let data; (data = storage.get(this.#key(this.#next))) != null; this.#next++) if (data) frames.push(unpack(data));
      if (kept?.codec === codec && kept.session.token) return [kept, frames];
      this._clear();
      return undefined;
    });
  }

  /** Holds the lock of a session, so that no other page resumes it. Resolves to false if another page holds it. */
  async _claim(token: string): Promise<boolean> {
    const locks = this.#locks;
    if (!locks || !this.#storage || this.#locked === token) return true;
    this._unlock();
    this.#locked = token;
    return new Promise((resolve) => {
      const wait = AbortSignal.timeout(LOCK_PATIENCE);
      locks.request(`rejoin:${token}`, { signal: wait }, () => new Promise<void>((release) => {
        this.#release = release;
        resolve(true);
      })).catch(() => {
        this.#locked = '';
        resolve(false);
      });
    });
  }

  _unlock(): void {
    this.#release?.();
    this.#locked = '';
  }

  /** Saves the counts. Called before the server learns of them: an offer must never be below what was acknowledged. */
  _save(session: Session | undefined, received: number, acked: number, codec: string): void {
    if (session) this.#attempt((storage) => {
      storage.set(this.#name, JSON.stringify({ session: { ...session, token: session.token }, received, acked, codec, first: this.#first }));
    });
  }

  _add(sent: SentFrame): void {
    sent._place = this.#next++;
    this.#attempt((storage) => storage.set(this.#key(sent._place), pack(sent._data)));
  }

  /** Frames that are removed from the middle leave an empty text behind, so that no hole ends the list. */
  _drop(sends: SentFrame[]): void {
    this.#attempt((storage) => { for (const { _place } of sends) storage.set(this.#key(_place), ''); });
  }

  /** Deletes the frames before the oldest that is still kept, after `save` has said so. */
  _tidy(oldest: number | undefined, save: () => void): void {
    if (!this.#storage) return;
    const from = this.#first;
    this.#first = oldest ?? this.#next;
    save();
    this.#attempt((storage) => { for (let place = from; place < this.#first; place++) storage.delete(this.#key(place)); });
  }

  _clear(): void {
    this.#attempt((storage) => {
      storage.delete(this.#name);
      for (let place = this.#first; place < this.#next; place++) storage.delete(this.#key(place));
    });
    this.#first = this.#next = 0;
  }

  /** The end of the connection. */
  _close(): void {
    this._clear();
    this._unlock();
    if (this.#locks && this.#storage) inUse.delete(this.#name);
  }

  #key(place: number): string {
    return `${this.#name}#${place}`;
  }

  #attempt<T>(action: (storage: Keep) => T): T | undefined {
    const storage = this.#storage;
    if (!storage) return undefined;
    try {
      return action(storage);
    } catch (error) {
      this.#storage = undefined;
      this._journal._note('keep', `memory: ${error}`);
      try { storage.delete(this.#name); } catch { /* nothing can be stored, and nothing can be deleted */ }
      return undefined;
    }
  }
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
