import type { Shelf } from './keep.js';
import type { SentFrame } from './sent.js';
import type { LostReason, Session } from './types.js';

/** Accepted before the first `$open`, which states the session's limit. */
const BUFFER_UNTIL_OPEN = 64;

export type Outbox = ReturnType<typeof createOutbox>;

/**
 * The frames that the server has not acknowledged. Invariant: `_kept` holds the frames `_acked` + 1, + 2, … without a hole, and
 * `_acked` <= `_written` <= `_acked` + `_kept.length`. A frame beyond `_written` has no final number: it may still be removed.
 */
export function createOutbox(buffer: number, bufferBytes: number, shelf: Shelf) {
  let bytes = 0;
  const mostFrames = (session?: Session) => Math.min(buffer, session?.buffer ?? BUFFER_UNTIL_OPEN);
  const mostBytes = (session?: Session) => Math.min(bufferBytes, session?.bufferBytes ?? Infinity);
  const append = (sent: SentFrame) => {
    sent.number = outbox._acked + outbox._kept.push(sent);
    bytes += sent.size;
  };
  const outbox = {
    _kept: [] as SentFrame[],
    /** The number of our frames that the server has acknowledged. */
    _acked: 0,
    /** The highest number that was written to any socket. */
    _written: 0,

    //= PROTOCOL.md#R4.12: MUST accept a message of more than `buffer_bytes` bytes when it keeps no other frame
    _fits: (size: number, session?: Session) => outbox._kept.length < mostFrames(session)
      && (!outbox._kept.length || bytes + size <= mostBytes(session)),

    /** Whether at most half of the buffer is in use, `unsent` bytes of the socket included. */
    _isHalfEmpty: (unsent: number, session?: Session) => outbox._kept.length <= mostFrames(session) / 2
      && bytes + unsent <= mostBytes(session) / 2,

    /** R4.26: own limits below the session's would be reached before the server acknowledges by itself. */
    _isSyncDue: (session: Session) => (buffer < session.buffer && outbox._written - outbox._acked >= buffer / 2)
      || (bufferBytes < session.bufferBytes && bytes >= bufferBytes / 2),

    _add(sent: SentFrame) {
      append(sent);
      shelf._put(sent);
    },

    /** Takes over the frames of the page before a reload. They may have been written, so none of them can be taken back. */
    _restore(sends: SentFrame[], acked: number) {
      outbox._acked = acked;
      for (const sent of sends) {
        append(sent);
        sent.state = 'sent';
      }
      outbox._written = acked + sends.length;
    },

    _noteWritten(sent: SentFrame) {
      outbox._written = Math.max(outbox._written, sent.number);
      sent._become('sent');
    },

    /** Drops the frames that the server has received. Returns undefined for an impossible number (R4.19). */
    _cover(upTo: unknown): SentFrame[] | undefined {
      if (!Number.isInteger(upTo) || upTo as number < outbox._acked || upTo as number > outbox._written) return undefined;
      const covered = outbox._kept.splice(0, upTo as number - outbox._acked);
      outbox._acked = upTo as number;
      for (const sent of covered) {
        bytes -= sent.size;
        sent._become('acked');
      }
      return covered;
    },

    /** Removes queued frames. Renumbering is safe because neither they nor any frame after them was written. */
    _remove(isOut: (sent: SentFrame) => boolean, reason: LostReason, limit?: number): SentFrame[] {
      const out = outbox._kept.filter((sent) => sent.number > outbox._written && isOut(sent));
      if (out.length) {
        const kept = outbox._forget();
        for (const sent of kept) {
          if (out.includes(sent)) sent._lose(reason, limit);
          else outbox._add(sent);
        }
      }
      return out;
    },

    /** Empties the list, for another to be made. */
    _forget(): SentFrame[] {
      const kept = outbox._kept;
      shelf._delete(kept);
      outbox._kept = [];
      bytes = 0;
      return kept;
    },

    /** Forgets everything; the counts start at 0. Returns the frames that were never acknowledged. */
    _clear(): SentFrame[] {
      outbox._acked = outbox._written = 0;
      return outbox._forget();
    },
  };
  return outbox;
}
