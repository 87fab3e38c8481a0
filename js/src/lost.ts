/** Why a frame will not arrive, as far as this side knows. */
export type LostReason =
  /** The buffer of unacknowledged frames is full. `ready()` waits for capacity. */
  | 'full'
  /** It has more bytes than the server accepts: see `size` and `limit` of {@link Lost}. */
  | 'too big'
  /** It waited longer than its `ttl` for a socket. */
  | 'expired'
  /** A later frame with the same `latest` replaced it before it was written. */
  | 'replaced'
  /** It is volatile and no socket could take it. Volatile frames that were written are never acknowledged either. */
  | 'volatile'
  /** Its question was cancelled before it was written. */
  | 'cancelled'
  /** The session has ended before the server acknowledged it. It may have arrived. */
  | 'session ended'
  /** The connection is closed. */
  | 'closed';

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
