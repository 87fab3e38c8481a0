/** A bounded queue that an application iterates over. */
export class Channel<T> implements AsyncIterableIterator<T, undefined, undefined> {
  #items: T[] = [];
  #readers: { resolve: (result: IteratorResult<T, undefined>) => void; reject: (error: unknown) => void }[] = [];
  #ended = false;
  #error: unknown;

  /** @param taken is called when the application has taken an item, `left` when it needs no more. */
  constructor(readonly _limit: number, readonly _taken: () => void, readonly _left: () => void) {}

  get _isFull(): boolean {
    return this.#items.length >= this._limit;
  }

  _push(item: T): void {
    if (this.#ended) return;
    const reader = this.#readers.shift();
    if (reader) reader.resolve({ value: item, done: false });
    else this.#items.push(item);
  }

  /** What is queued can still be read; then the iteration ends, or fails with the error. */
  _end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#readers.length) {
      const [first, ...rest] = this.#readers;
      if (error === undefined) first!.resolve({ value: undefined, done: true });
      else first!.reject(error);
      for (const { resolve } of rest) resolve({ value: undefined, done: true });
    } else {
      this.#error = error;
    }
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#items.length) {
      const value = this.#items.shift()!;
      this._taken();
      return Promise.resolve({ value, done: false });
    }
    if (!this.#ended) return new Promise((resolve, reject) => { this.#readers.push({ resolve, reject }); });
    const error = this.#error;
    this.#error = undefined;
    return error === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(error);
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#items = [];
    this._end();
    this._left();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
