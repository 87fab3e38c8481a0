import { isFrame, type Codec, type Frame } from './codec.js';
import { byteLength } from './guards.js';
import { Lost } from './lost.js';
import type { LostReason, SendOptions, Sent } from './types.js';

// A lone surrogate has no encoding in UTF-8: the server would close the connection (R2.10).
const HALF_CHARACTER = /\p{Surrogate}/u;
/** How long `await using` waits for acknowledgements. */
const DRAIN_TIMEOUT = 5000;
/** Younger than some runtimes. */
export const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for('Symbol.asyncDispose');

/** A frame that was sent, with its WebSocket message. */
export class SentFrame implements Sent {
  state: Sent['state'] = 'queued';
  number = 0;
  error: Lost | undefined;
  /** Frames with the same one replace each other while they wait for a socket. */
  _latest: string | undefined;
  /** The time after which it may no longer be written (`Date.now()`), and the timer for that. */
  _deadline = Infinity;
  _timer: ReturnType<typeof setTimeout> | undefined;

  readonly acked: Promise<void>;
  #settle: Resolvers<void>;

  constructor(readonly frame: Frame, readonly _data: string | Uint8Array<ArrayBuffer>, readonly size: number) {
    this.#settle = withResolvers();
    this.acked = this.#settle.promise;
    this.acked.catch(() => {}); // nobody has to wait for it
  }

  _become(state: Sent['state'], error?: Lost): this {
    clearTimeout(this._timer);
    this.state = state;
    this.error = error;
    if (error) this.#settle.reject(error);
    else if (state === 'acked') this.#settle.resolve();
    return this;
  }

  _lose(reason: LostReason, limit?: number): this {
    return this._become('lost', new Lost(reason, this.size, limit));
  }
}

/** Checks and encodes an application's frame. */
export function createFrame(codec: Codec, event: string, payload: unknown, { re, more, volatile, id }: SendOptions): SentFrame {
  const frame: Frame = { id, event, payload, re, more, volatile };
  if (!isFrame(frame) || HALF_CHARACTER.test(`${id}${event}${re}`)) {
    throw new TypeError('event, id and re must be text, more and volatile booleans');
  }
  //= PROTOCOL.md#R3.3: MUST refuse to send such an event for its application
  if (event?.[0] === '$') throw new TypeError(`$ events belong to the protocol: ${event}`);
  const data = codec.encode(frame); // `toJSON` of a payload may send or close
  return new SentFrame(frame, data, byteLength(data));
}

/** Resolves when the fate of these frames is known, or after 5 s. */
export async function settled(sends: Sent[]): Promise<void> {
  let timer;
  await Promise.race([
    new Promise((resolve) => { timer = setTimeout(resolve, DRAIN_TIMEOUT); }),
    Promise.allSettled(sends.map(({ acked }) => acked)),
  ]);
  clearTimeout(timer);
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
