import type { Frame } from './codec.js';
import { Lost } from './lost.js';
import type { LostReason, Sent } from './types.js';

/** A frame that was sent, with its WebSocket message. */
export class SentFrame implements Sent {
  state: Sent['state'] = 'queued';
  number = 0;
  error: Lost | undefined;
  /** Frames with the same one replace each other while they wait for a socket. */
  _latest: string | undefined;
  /** When it may no longer be written (`Date.now()`), and the timer that says so. */
  _deadline = Infinity;
  _timer: ReturnType<typeof setTimeout> | undefined;
  #acked: Resolvers<void> | undefined;

  readonly frame: Frame;
  readonly _data: string | Uint8Array<ArrayBuffer>;
  readonly size: number;

  constructor(frame: Frame, data: string | Uint8Array<ArrayBuffer>, size: number) {
    this.frame = frame;
    this._data = data;
    this.size = size;
  }

  /** Made when it is first asked for: most applications never do. */
  get acked(): Promise<void> {
    if (!this.#acked) {
      this.#acked = withResolvers();
      this.#acked.promise.catch(() => {}); // nobody has to wait for it
      this.#settle();
    }
    return this.#acked.promise;
  }

  _become(state: Sent['state'], error?: Lost): this {
    clearTimeout(this._timer);
    this.state = state;
    this.error = error;
    this.#settle();
    return this;
  }

  _lose(reason: LostReason, limit?: number): this {
    return this._become('lost', new Lost(reason, this.size, limit));
  }

  #settle(): void {
    if (this.error) this.#acked?.reject(this.error);
    else if (this.state === 'acked') this.#acked?.resolve();
  }
}

export interface Resolvers<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** `Promise.withResolvers`, which is younger than some runtimes. */
export function withResolvers<T>(): Resolvers<T> {
  const own = {} as Resolvers<T>;
  own.promise = new Promise((resolve, reject) => {
    own.resolve = resolve;
    own.reject = reject;
  });
  return own;
}
