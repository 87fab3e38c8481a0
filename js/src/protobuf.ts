/**
 * `rejoin/protobuf`: frames as the Protobuf message `rejoin.v1.Frame`, for applications whose payloads are Protobuf messages.
 *
 * ```ts
 * import { connect } from 'rejoin';
 * import { protobuf } from 'rejoin/protobuf';
 *
 * const room = connect('wss://example.org/ws', { codec: protobuf() });
 * room.send('move', Move.encode({ x: 1 }).finish()); // bytes of the application's own message
 * room.on('move', ({ payload }) => Move.decode(payload as Uint8Array));
 * ```
 *
 * | payload in JavaScript | format on the wire |
 * |---|---|
 * | `Uint8Array` | BYTES |
 * | {@link Packed} | MSGPACK, which members of a room with the codec `msgpack` send |
 * | anything else | JSON |
 *
 * @module
 */
import { CodecError, type Codec, type Frame } from './index.js';

/** A payload in MessagePack, neither packed nor unpacked by this codec. */
export class Packed {
  constructor(readonly data: Uint8Array) {}
}

/**
 * Returns the codec `protobuf`, for the option `codec` of `connect`. The server needs it as well: feature `protobuf` of the crate
 * `rejoin-server`, which has the file `frame.proto`.
 */
export function protobuf(): Codec {
  return { name: 'protobuf', encode, decode };
}

const UTF8 = new TextEncoder();
const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The members of a frame by the numbers of their fields. */
const NAMES = ['', 'id', 'event', 'payload', 'format', 're', 'volatile', 'more', 'room'] as const;
const INT = 0, LEN = 2, GROUP = 3, GROUP_END = 4;
/** Their wire types. */
const TYPES = [-1, LEN, LEN, LEN, INT, LEN, INT, INT, LEN];
const JSON_FORMAT = 1, MSGPACK_FORMAT = 2;

const malformed = (why: string) => new CodecError(1007, why);

//= PROTOCOL.md#R2.2: message Frame
function encode(frame: Frame): Uint8Array<ArrayBuffer> {
  const { payload } = frame;
  const bytes = payload instanceof Packed ? payload.data : payload instanceof Uint8Array ? payload : undefined;
  const json = bytes ? undefined : JSON.stringify(payload);
  const members: Record<string, unknown> = {
    ...frame,
    payload: json ? UTF8.encode(json) : bytes,
    format: json ? JSON_FORMAT : payload instanceof Packed ? MSGPACK_FORMAT : 0,
  };
  const out: number[] = [];
  NAMES.forEach((name, field) => {
    const value: any = members[name];
    if (!value) return; // an empty text is absent, and so are `false` and the format BYTES
    const type = TYPES[field]!;
    const bytes = typeof value === 'string' ? UTF8.encode(value) : value;
    out.push(8 * field + type);
    let number = type ? bytes.length : +value;
    for (; number > 127; number >>>= 7) out.push(number & 127 | 128);
    out.push(number);
    if (type) for (const byte of bytes) out.push(byte);
  });
  return new Uint8Array(out);
}

function decode(message: string | Uint8Array): Frame {
  if (typeof message === 'string') throw new CodecError(1008, 'a text message');
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; shift < 64n; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128 && value < 1n << 64n) return value; // not so if the message has ended
    }
    throw malformed('truncated');
  };
  const take = (length: number) => {
    at += length;
    if (at > message.length) throw malformed('truncated');
    return message.subarray(at - length, at);
  };
  const tag = () => {
    const value = Number(varint());
    if (value < 8 || value > 0xffffffff) throw malformed('not a field');
    return value;
  };
  /** Returns the value of a field. Groups may be nested as deeply as the message is long, so the open ones are in an array. */
  const skip = (field: number): any => {
    const open: number[] = [];
    for (let value: unknown;; field = tag()) {
      const type = field % 8;
      if (type === INT) value = varint();
      else if (type === LEN) value = take(Number(varint()));
      else if (type === GROUP) open.push(field + 1); // what ends it
      else if (type === GROUP_END ? open.pop() !== field : type > 5) throw malformed('not a field');
      else if (type !== GROUP_END) take(type === 1 ? 8 : 4);
      if (!open.length) return value;
    }
  };

  const members: Record<string, any> = {};
  let wrong = '';
  while (at < message.length) {
    const field = tag();
    const number = Math.floor(field / 8);
    const name = NAMES[number];
    const value = skip(field);
    if (!name) continue; // R2.4
    if (field % 8 !== TYPES[number]) wrong = `invalid ${name}`;
    else if (name === 'payload') members[name] = value.slice();
    else if (name === 'format') members[name] = Number(BigInt.asUintN(32, value));
    else members[name] = TYPES[number] ? read(value, String) : value > 0;
  }
  const { format = 0, payload, ...frame } = members;
  if (payload) {
    if (format > MSGPACK_FORMAT) wrong = 'invalid format';
    frame.payload = format === JSON_FORMAT ? read(payload, JSON.parse) : format ? new Packed(payload) : payload;
  }
  if (wrong) throw new CodecError(1008, wrong);
  return frame;
}

function read<T>(bytes: Uint8Array, parse: (text: string) => T): T {
  try { return parse(STRICT.decode(bytes)); } catch { throw malformed('not a text'); }
}
