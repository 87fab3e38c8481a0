/** Frames, and the form in which they cross the wire (PROTOCOL.md §2). */

import { isFlag, isText } from './guards.js';

/** One frame. Absent and empty mean the same for the texts, absent and `false` for the flags. */
export interface Frame {
  /** Names a question: its answers have this as `re`. */
  id?: string | undefined;
  event?: string | undefined;
  payload?: unknown;
  /** The `id` of the frame that this one answers. */
  re?: string | undefined;
  /** Whether further answers follow. */
  more?: boolean | undefined;
  /** Whether the frame may be dropped: it is neither counted nor kept. */
  volatile?: boolean | undefined;
  /** The room that the frame was sent to, if the server names rooms. */
  room?: string | undefined;
}

/**
 * Encodes frames. `rejoin` has JSON, `rejoin/msgpack` and `rejoin/protobuf` have the others, and an application may have its own.
 *
 * The payload of a frame whose event begins with `$` is JSON in every codec (R3.5): a binary codec carries it as JSON text.
 */
export interface Codec {
  /** The name in the subprotocol `rejoin.v1.NAME`, such as `json`. */
  readonly name: string;
  /** Returns the WebSocket message. Throws for a payload that it cannot represent: `send` throws the same error. */
  encode(frame: Frame): string | Uint8Array<ArrayBuffer>;
  /** Reads a WebSocket message: a string if it is a text message. Throws a {@link CodecError} for one that is no frame. */
  decode(data: string | Uint8Array): Frame;
}

/** A message that a codec cannot read. It ends the connection. */
export class CodecError extends Error {
  /**
   * @param code 1007 for bytes that do not have the codec's format (R2.10), 1008 for well-formed bytes that are not a frame (R2.11)
   */
  constructor(readonly code: 1007 | 1008, message: string) {
    super(message);
  }
}

/** The codec `json`, the default. An integer beyond 2^53 loses its last digits: send such numbers as strings. */
export const json: Codec = {
  name: 'json',
  encode: (frame) => JSON.stringify(compact(frame)),
  decode: (data) => {
    if (typeof data !== 'string') throw new CodecError(1008, 'a binary message');
    try { return JSON.parse(data); } catch { throw new CodecError(1007, 'not JSON'); }
  },
};

const TEXTS = ['re', 'room', 'id', 'event'] as const;
const FLAGS = ['more', 'volatile'] as const;

/** Whether the members of a frame have their types. Absent members have; null is no text and no flag (R2.11). */
export const isFrame = (value: any): value is Frame => typeof value === 'object' && value !== null && !Array.isArray(value)
  && TEXTS.every((name) => isText(value[name])) && FLAGS.every((name) => isFlag(value[name]));

/** The members of a frame that are neither absent nor unknown (R2.3, R2.4). */
export function compact(frame: Frame): Frame {
  const { payload } = frame;
  const present = [...FLAGS, ...TEXTS].filter((name) => frame[name]);
  return { ...Object.fromEntries(present.map((name) => [name, frame[name]])), payload };
}
