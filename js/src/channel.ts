import type { Emitter } from './emitter.js';
import { withResolvers, type Resolvers } from './sent.js';
import type { FramesOptions, Message } from './types.js';

const READER_LIMIT = 64;

/** A bounded queue that an application iterates over. */
export interface Channel<T> extends AsyncIterableIterator<T, undefined, undefined> {
  _isFull(): boolean;
  _push(item: T): void;
  /** Queued values can still be read; then the iteration ends, or fails with the error. */
  _end(error?: unknown): void;
}

/**
 * Is one of `readers` until it ends.
 *
 * @param changed is called when it may have become less full, `left` when the application stops reading
 */
export function createChannel<T>(limit: number, readers: Set<Channel<any>>, changed: () => void, left: () => void): Channel<T> {
  let items: T[] = [];
  const takers: Resolvers<IteratorResult<T, undefined>>[] = [];
  let ended: { error?: unknown } | undefined;
  /** Answers those who wait: with items, then with the end. */
  const serve = () => {
    for (let taker; (items.length || ended) && (taker = takers.shift());) {
      if (items.length) taker.resolve({ value: items.shift()!, done: false });
      else if (ended!.error) {
        taker.reject(ended!.error);
        ended = {};
      } else taker.resolve({ value: undefined, done: true });
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
      readers.delete(channel);
      serve();
      changed();
    },
    next() {
      const taker = withResolvers<IteratorResult<T, undefined>>();
      takers.push(taker);
      serve();
      changed();
      return taker.promise;
    },
    return() {
      items = [];
      left();
      channel._end();
      return channel.next();
    },
    [Symbol.asyncIterator]: () => channel,
  };
  readers.add(channel);
  return channel;
}

/** The method `frames` of a connection. `open` makes the queue. */
export function readFrames(
  emitter: Emitter, open: (limit: number, left: () => void) => Channel<Message>, isClosed: () => boolean,
  { signal, limit = READER_LIMIT }: FramesOptions = {},
): Channel<Message> {
  const leave = () => { for (const off of offs) off(); };
  const end = () => {
    leave();
    channel._end();
  };
  const channel = open(limit, leave);
  const offs = [
    emitter._on('*', channel._push),
    emitter._on('$closed', end),
    () => signal?.removeEventListener('abort', end),
  ];
  signal?.addEventListener('abort', end);
  if (signal?.aborted || isClosed()) end();
  return channel;
}
