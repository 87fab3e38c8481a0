import type { Entry } from './types.js';

const ENTRIES = 50;

export type Journal = ReturnType<typeof createJournal>;

/** The journal: a list of the last transitions. */
export function createJournal(log?: (entry: Entry) => void) {
  const entries: Entry[] = [];
  return {
    _entries: entries,
    _note(what: string, detail?: unknown) {
      const entry = { at: Date.now(), what, detail };
      if (entries.push(entry) > ENTRIES) entries.shift();
      log?.(entry);
    },
  };
}
