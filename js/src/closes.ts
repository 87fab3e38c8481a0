import type { End } from './types.js';

/** What follows an end: resume the session, connect to a fresh one, or never dial again; after `hint` ms at least. */
export interface Verdict {
  next: 'resume' | 'afresh' | 'never';
  hint?: number | undefined;
}

// Our own close codes. They suspend the session instead of ending it (R7.1: any other code).
export const CUT = 4001;
export const GIVEN_UP = 4002;
/** What a WebSocket reports for an end without a close frame (RFC 6455 §7.1.5). */
export const LOST = 1006;

const DAY = 86_400_000;

//= PROTOCOL.md#R7.1: Both sides MUST treat a close frame as this table says
export function afterClose({ code, reason }: End): Verdict {
  switch (code) {
    case 1000: case 1002: case 1007: case 1008: case 1009: case 3003: case 4000:
      return { next: 'never' };
    case 1001: // Firefox reports 1001 when a navigation turns out to be a download. The server then keeps the session.
      return { next: reason === 'server shutting down' ? 'afresh' : 'resume' };
    case 1011:
      return { next: 'afresh' };
    case 1012: {
      const named = /^retry in (\d+) ms$/.exec(reason);
      //= PROTOCOL.md#R7.5: MUST only lengthen the delay
      return { next: 'resume', hint: named ? Math.min(Number(named[1]), DAY) * (1 + Math.random() / 4) : undefined };
    }
    default:
      return { next: 'resume' };
  }
}
