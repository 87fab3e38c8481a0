import type { Shelf } from './keep.js';
import type { SentFrame } from './sent.js';
import type { LostReason, Session } from './types.js';

/** Accepted before the first `$open`, which states the session's limit. */
const BUFFER_UNTIL_OPEN = 64;

/**
 * The frames that the server has not acknowledged. Invariant: `_kept` holds the frames `_acked` + 1, + 2, … without a hole, and
 * `_acked` <= `_written` <= `_acked` + `_kept.length`. A frame beyond `_written` has no final number: it may still be removed.
 */
export class Outbox {
  _kept: SentFrame[] = [];
  _bytes = 0;
  /** The number of our frames that the server has acknowledged. */
  _acked = 0;
  /** The highest number that was written to any socket. */
  _written = 0;

  constructor(readonly _limits: { buffer: number; bufferBytes: number }, readonly _shelf: Shelf) {}

  _buffer(session: Session | undefined): number {
    return Math.min(this._limits.buffer, session?.buffer ?? BUFFER_UNTIL_OPEN);
  }

  _bufferBytes(session: Session | undefined): number {
    return Math.min(this._limits.bufferBytes, session?.bufferBytes ?? Infinity);
  }

  //= PROTOCOL.md#R4.12: MUST accept a message of more than `buffer_bytes` bytes when it keeps no other frame
  _fits(size: number, session: Session | undefined): boolean {
    const { length } = this._kept;
    return length < this._buffer(session) && (length === 0 || this._bytes + size <= this._bufferBytes(session));
  }

  /** Whether at most half of the buffer is in use, `unsent` bytes of the socket included. */
  _isHalfEmpty(unsent: number, session: Session | undefined): boolean {
    return this._kept.length <= this._buffer(session) / 2 && this._bytes + unsent <= this._bufferBytes(session) / 2;
  }

  /** R4.26: own limits below the session's would be reached before the server acknowledges by itself. */
  _isSyncDue(session: Session | undefined): boolean {
    const { buffer, bufferBytes } = this._limits;
    return (buffer < (session?.buffer ?? 0) && this._written - this._acked >= buffer / 2)
      || (bufferBytes < (session?.bufferBytes ?? 0) && this._bytes >= bufferBytes / 2);
  }

  _add(sent: SentFrame): void {
    sent.number = this._acked + this._kept.push(sent);
    this._bytes += sent.size;
    this._shelf._add(sent);
  }

  /** Takes over the frames of the page before a reload. They may have been written, so none of them can be taken back. */
  _restore(sends: SentFrame[], place: number): void {
    for (const sent of sends) {
      sent.number = this._acked + this._kept.push(sent);
      sent._place = place++;
      sent._become('sent');
      this._bytes += sent.size;
    }
    this._written = this._acked + this._kept.length;
  }

  /** Forgets frames that another tab has as well. Those that were sent here since stay, and are numbered from 1. */
  _disown(sends: SentFrame[]): void {
    const own = this._kept.filter((sent) => !sends.includes(sent));
    this._clear();
    this._shelf._clear();
    for (const sent of own) this._add(sent);
  }

  _noteWritten(sent: SentFrame): void {
    this._written = Math.max(this._written, sent.number);
    sent._become('sent');
  }

  /** Drops the frames that the server has received. Returns undefined for an impossible number (R4.19). */
  _cover(upTo: unknown): SentFrame[] | undefined {
    if (typeof upTo !== 'number' || !Number.isInteger(upTo) || upTo < this._acked || upTo > this._written) return undefined;
    const covered = this._kept.splice(0, upTo - this._acked);
    this._acked = upTo;
    for (const sent of covered) {
      this._bytes -= sent.size;
      sent._become('acked');
    }
    return covered;
  }

  /** Removes queued frames. Renumbering is safe because neither they nor any frame after them was written. */
  _remove(isOut: (sent: SentFrame) => boolean, reason: LostReason, limit?: number): SentFrame[] {
    const out = this._kept.filter((sent) => sent.number > this._written && isOut(sent));
    if (out.length === 0) return out;
    this._kept = this._kept.filter((sent) => !out.includes(sent));
    this._kept.forEach((sent, index) => { sent.number = this._acked + index + 1; });
    for (const sent of out) {
      this._bytes -= sent.size;
      sent._lose(reason, limit);
    }
    this._shelf._drop(out);
    return out;
  }

  /** Forgets everything; the counts start at 0. Returns the frames that were never acknowledged. */
  _clear(): SentFrame[] {
    const ended = this._kept;
    this._kept = [];
    this._bytes = this._acked = this._written = 0;
    return ended;
  }
}
