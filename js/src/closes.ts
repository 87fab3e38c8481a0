import type { End } from './types.js';

// Our own close codes. They suspend the session instead of ending it (R7.1: any other code).
export const CUT = 4001;
export const GIVEN_UP = 4002;
/** The code that a WebSocket reports for an end without a close frame (RFC 6455 §7.1.5). */
export const LOST = 1006;

const DAY = 86_400_000;

//= PROTOCOL.md#R7.1: Both sides MUST treat a close frame as this table says

/** Whether the client never dials again by itself. */
export const isFinal = (code: number): boolean => [1000, 1002, 1007, 1008, 1009, 3003, 4000].includes(code);

/** Whether the session has ended. Firefox reports 1001 also when a navigation turns out to be a download. */
export const endsSession = ({ code, reason }: End): boolean => code === 1011 || (code === 1001 && reason === 'server shutting down');

/** The milliseconds that the server asks for before the next dial. */
export function hintOf({ code, reason }: End): number | undefined {
  const named = code === 1012 && /^retry in (\d+) ms$/.exec(reason);
  //= PROTOCOL.md#R7.5: MUST only lengthen the delay
  return named ? Math.min(Number(named[1]), DAY) * (1 + Math.random() / 4) : undefined;
}
