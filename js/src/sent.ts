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
  /** Its place in the storage that survives a reload. */
  _place = -1;
  #promise: Promise<void> | undefined;
  #settle: ((error?: Lost) => void) | undefined;

  constructor(readonly frame: Frame, readonly _data: string | Uint8Array<ArrayBuffer>, readonly size: number) {}

  /** Made when it is first asked for: most applications never do. */
  get acked(): Promise<void> {
    if (!this.#promise) {
      this.#promise = new Promise((resolve, reject) => {
        this.#settle = (error) => (error ? reject(error) : resolve());
      });
      this.#promise.catch(() => {}); // nobody has to wait for it
      if (this.error || this.state === 'acked') this.#settle!(this.error);
    }
    return this.#promise;
  }

  _become(state: Sent['state'], error?: Lost): this {
    clearTimeout(this._timer);
    this.state = state;
    this.error = error;
    if (error || state === 'acked') this.#settle?.(error);
    return this;
  }

  _lose(reason: LostReason, limit?: number): this {
    return this._become('lost', new Lost(reason, this.size, limit));
  }
}
