import { withResolvers, type Resolvers } from './sent.js';

/** A bounded queue that an application iterates over. */
export interface Channel<T> extends AsyncIterableIterator<T, undefined, undefined> {
  _isFull(): boolean;
  _push(item: T): void;
  /** What is queued can still be read; then the iteration ends, or fails with the error. */
  _end(error?: unknown): void;
}

/** @param taken is called when the application has taken an item, `left` when it needs no more. */
export function createChannel<T>(limit: number, taken: () => void, left: () => void): Channel<T> {
  let items: T[] = [];
  let readers: Resolvers<IteratorResult<T, undefined>>[] = [];
  let ended: { error?: unknown } | undefined;
  /** Answers those who wait: with items, then with the end. */
  const serve = () => {
    for (let reader; (items.length || ended) && (reader = readers.shift());) {
      if (items.length) reader.resolve({ value: items.shift()!, done: false });
      else if (ended!.error) {
        reader.reject(ended!.error);
        ended = {};
      } else reader.resolve({ value: undefined, done: true });
    }
  };
  const channel: Channel<T> = {
    _isFull: () => items.length >= limit,
    _push(item) {
      if (ended) return;
      items.push(item);
      serve();
    },
    _end(error) {
      ended ??= { error };
      serve();
    },
    next() {
      const reader = withResolvers<IteratorResult<T, undefined>>();
      readers.push(reader);
      serve();
      taken();
      return reader.promise;
    },
    return() {
      items = [];
      channel._end();
      left();
      return channel.next();
    },
    [Symbol.asyncIterator]: () => channel,
  };
  return channel;
}
