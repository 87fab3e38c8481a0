import type { LostReason } from './types.js';

/** Why a frame will not arrive. */
export class Lost extends Error {
  override readonly name = 'Lost';
  /** @param size the frame's bytes, and `limit` those that the server accepts: of the reason `too big` */
  constructor(readonly reason: LostReason, readonly size?: number, readonly limit?: number) {
    super(limit === undefined ? `frame lost: ${reason}` : `frame lost: ${size} bytes (the server accepts ${limit})`);
  }
}

/** An answer that reports an error (R11.5), or none in time: then `code` is `timeout`. */
export class AskError extends Error {
  override readonly name = 'AskError';
  constructor(readonly code: string, message = code) {
    super(message);
  }
}
