import { base64url, isToken } from './guards.js';
import type { TokenReason, TokenSource } from './types.js';

export type Credentials = ReturnType<typeof createCredentials>;

//= PROTOCOL.md#R1.26: MUST ask it for fresh ones before each dial
export function createCredentials(source: string | TokenSource | undefined) {
  if (typeof source === 'string' && !isToken(source)) throw new RangeError('invalid token');
  /** Belongs to the current call of the source. The answer to an earlier call is ignored. */
  let asking: AbortController | undefined;
  return {
    _isAsking: () => asking,
    /** Calls `done` with the offers of a dial, or `failed`. Without a source, at once. */
    _ask(reason: TokenReason, done: (offers: string[]) => void, failed: () => void) {
      if (typeof source !== 'function') return done(source ? [offer(source)] : []);
      const own = asking = new AbortController();
      const answer = (token?: unknown) => {
        if (own !== asking) return;
        asking = undefined;
        if (isToken(token)) done([offer(token)]);
        else failed();
      };
      new Promise((resolve) => { resolve(source({ reason, signal: own.signal })); }).then(answer, () => answer());
    },
    _cancel() {
      const own = asking;
      asking = undefined;
      own?.abort();
    },
  };
}

const offer = (token: string): string => `rejoin.auth.${base64url(token)}`;
