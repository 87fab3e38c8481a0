import type { Entry } from './types.js';

const ENTRIES = 50;

/** The last transitions. */
export class Journal {
  _entries: Entry[] = [];
  #log;

  constructor(log?: (entry: Entry) => void) {
    this.#log = log;
  }

  _note(what: string, detail?: unknown): void {
    const entry = { at: Date.now(), what, detail };
    if (this._entries.push(entry) > ENTRIES) this._entries.shift();
    this.#log?.(entry);
  }
}
