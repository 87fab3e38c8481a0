import type { Session } from './types.js';

export const ACK_DELAY = 1000;

/** What has arrived, and how much of it the server knows (R4.15). */
export class Receipts {
  /** The number of the server's frames that have been received. */
  _received = 0;
  /** The part of it that the server knows; between sockets all of it, because the offer names it. */
  _reported = 0;
  #bytes = 0;
  #oldest = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly _report: () => void) {}

  _count(upTo: number, size: number): void {
    this._received = upTo;
    this.#bytes += size;
    if (this.#timer !== undefined) return;
    this.#oldest = performance.now();
    this.#timer = setTimeout(this._report, ACK_DELAY);
  }

  /** At a quarter of the buffer, or after a second. Reads the clock, because timers of a hidden page run late. */
  _isDue({ buffer, bufferBytes }: Session): boolean {
    return performance.now() - this.#oldest >= ACK_DELAY || this._received - this._reported >= quarter(buffer)
      || this.#bytes >= quarter(bufferBytes);
  }

  _stopTimer(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  _noteReported(): void {
    this._reported = this._received;
    this.#bytes = 0;
  }

  _clear(): void {
    this._received = this._reported = 0;
  }
}

//= PROTOCOL.md#R4.16: A quarter is rounded down, and is at least one
const quarter = (bound: number): number => Math.max(1, Math.floor(bound / 4));
