import { base64url, isToken } from './guards.js';
import type { TokenReason, TokenSource } from './types.js';

//= PROTOCOL.md#R1.26: MUST ask it for fresh ones before each dial
export class Credentials {
  #source;
  /** Belongs to the current call of the source. The answer to an earlier call is ignored. */
  #asking: AbortController | undefined;

  constructor(source: string | TokenSource | undefined) {
    if (typeof source === 'string' && !isToken(source)) throw new RangeError('invalid token (expected 1 to 3,072 bytes)');
    this.#source = source;
  }

  get _isAsking(): boolean {
    return this.#asking !== undefined;
  }

  /** Calls `done` with the offers of a dial, or `failed`. Without a source, at once. */
  _ask(reason: TokenReason, done: (offers: string[]) => void, failed: () => void): void {
    const source = this.#source;
    if (typeof source !== 'function') return done(source === undefined ? [] : [offer(source)]);
    const asking = this.#asking = new AbortController();
    const answer = (token?: unknown) => {
      if (asking !== this.#asking) return;
      this.#asking = undefined;
      if (isToken(token)) done([offer(token)]);
      else failed();
    };
    new Promise((resolve) => { resolve(source({ reason, signal: asking.signal })); }).then(answer, () => answer());
  }

  _cancel(): void {
    const asking = this.#asking;
    this.#asking = undefined;
    asking?.abort();
  }
}

const offer = (token: string): string => `rejoin.auth.${base64url(token)}`;
