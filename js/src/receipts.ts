import type { Session } from './types.js';

const ACK_DELAY = 1000;

/** The received frames, and how many of them were acknowledged (R4.15). */
export function createReceipts(report: () => void) {
  let bytes = 0;
  let oldest = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const receipts = {
    /** The number of the server's frames that have been received. */
    _received: 0,
    /** The part of it that the server knows; between sockets all of it, because the offer names it. */
    _reported: 0,
    _count(upTo: number, size: number) {
      receipts._received = upTo;
      bytes += size;
      if (timer !== undefined) return;
      oldest = performance.now();
      timer = setTimeout(report, ACK_DELAY);
    },
    /** At a quarter of the buffer, or after a second. Reads the clock, because timers of a hidden page run late. */
    _isDue: ({ buffer, bufferBytes }: Session) => performance.now() - oldest >= ACK_DELAY
      || receipts._received - receipts._reported >= quarter(buffer) || bytes >= quarter(bufferBytes),
    _stopTimer() {
      clearTimeout(timer);
      timer = undefined;
    },
    _noteReported() {
      receipts._reported = receipts._received;
      bytes = 0;
    },
    _start(received: number) {
      receipts._received = receipts._reported = received;
    },
  };
  return receipts;
}

//= PROTOCOL.md#R4.16: A quarter is rounded down, and is at least one
const quarter = (bound: number): number => Math.max(1, Math.floor(bound / 4));
