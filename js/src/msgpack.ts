/**
 * `rejoin/msgpack`: frames in MessagePack, which is smaller than JSON for binary data and keeps integers exact.
 *
 * ```ts
 * import { connect } from 'rejoin';
 * import { msgpack } from 'rejoin/msgpack';
 *
 * const room = connect('wss://example.org/ws', { codec: msgpack() });
 * room.send('photo', new Uint8Array([1, 2, 3]));
 * ```
 *
 * | MessagePack | JavaScript |
 * |---|---|
 * | nil, boolean, float, str, array | `null`, boolean, number, string, array |
 * | an integer of at most 2^53 - 1 in size | number |
 * | a larger integer | bigint |
 * | bin | `Uint8Array` (a copy) |
 * | ext, timestamps included | {@link Ext} |
 * | a map whose keys are all str | an object; of duplicate keys the last one counts |
 * | any other map | `Map` |
 *
 * In the other direction, an object with a method `toJSON` (such as a `Date`) is replaced by its result, and members that are
 * `undefined` are left out, as in JSON. An `ArrayBuffer` and its views are sent as bin. Lone surrogates become U+FFFD.
 *
 * @module
 */
import { CodecError, type Codec, type Frame } from './index.js';

/** A value of one of MessagePack's extension types. The type of its timestamps is -1. */
export class Ext {
  /** @param type from -128 to 127 */
  constructor(readonly type: number, readonly data: Uint8Array) {}
}

/**
 * Returns the codec `msgpack`, for the option `codec` of `connect`. The server needs it as well: feature `msgpack` of the crate
 * `rejoin-server`.
 *
 * `send` throws a `TypeError` for a value that MessagePack cannot represent (a function, a symbol, a bigint of more than 64 bits)
 * and for one that is nested more than 128 levels deep, which includes cycles. A received payload may be nested deeper: it is read
 * without recursion, so that no member of a room can end the sessions of the others by such a payload.
 */
export function msgpack(): Codec {
  return { name: 'msgpack', encode, decode };
}

/** The other codecs cannot represent deeper values. */
const MAX_DEPTH = 128;

const UTF8 = new TextEncoder();
const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** For payloads, in which the server does not check strings: U+FFFD replaces invalid UTF-8. */
const LENIENT = new TextDecoder('utf-8', { ignoreBOM: true });

/** The numbers behind the heads from 0xca, as `DataView` names them, and their sizes. */
const KINDS = ['Float32', 'Float64', 'Uint8', 'Uint16', 'Uint32', 'BigUint64', 'Int8', 'Int16', 'Int32', 'BigInt64'];
const SIZES = [4, 8, 1, 2, 4, 8, 1, 2, 4, 8];
const GET = KINDS.map((kind) => `get${kind}`), SET = KINDS.map((kind) => `set${kind}`);
const FIRST_KIND = 0xca, FLOAT64 = 1, UINT8 = 2, UINT64 = 5, INT8 = 6, INT64 = 9;

const TEXTS = ['id', 'event', 're', 'room'], FLAGS = ['more', 'volatile'];

const malformed = (why: string) => new CodecError(1007, why);

//= PROTOCOL.md#R2.2: a map with these string keys
function encode({ id, re, event, room, more, volatile, payload }: Frame): Uint8Array<ArrayBuffer> {
  let out = new Uint8Array(256), view = new DataView(out.buffer), end = 0;

  /** Returns the end before it moves on by `length`. `out` and `view` may be others afterwards. */
  const grow = (length: number) => {
    const at = end;
    end += length;
    if (end > out.length) {
      const shorter = out;
      out = new Uint8Array(2 * end);
      out.set(shorter);
      view = new DataView(out.buffer);
    }
    return at;
  };
  const put = (kind: number, value: number | bigint) => {
    const at = grow(SIZES[kind]!);
    (view as any)[SET[kind]!](at, value);
  };
  const byte = (value: number) => put(UINT8, value);
  /** Writes a number with its head. */
  const typed = (kind: number, value: number | bigint) => {
    byte(FIRST_KIND + kind);
    put(kind, value);
  };
  /**
   * Writes a number below 2^32: within the byte `fixed` if it is below `short`, otherwise in 2^n bytes after the byte `long` + n,
   * where n is at least `least`. The heads of strings, bin, ext, arrays, maps, and integers themselves have this form.
   */
  const head = (value: number, short: number, fixed: number, long: number, least = 0) => {
    if (value < short) return byte(fixed + value);
    const log = value > 0xffff ? 2 : value > 0xff ? 1 : least;
    byte(long + log);
    put(UINT8 + log, value);
  };
  const run = (bytes: Uint8Array, short: number, fixed: number, long: number) => {
    head(bytes.length, short, fixed, long);
    const at = grow(bytes.length);
    out.set(bytes, at);
  };
  const integer = (value: number) => {
    if (value > 0xffffffff || value < -0x80000000) typed(value < 0 ? INT64 : UINT64, BigInt(value));
    else if (value >= 0) head(value, 128, 0, FIRST_KIND + UINT8);
    else if (value < -32) typed(INT8 + (value >= -0x80 ? 0 : value >= -0x8000 ? 1 : 2), value);
    else byte(value);
  };

  /** @param depth the number of containers around the value */
  const write = (value: any, depth: number): void => {
    const type = typeof value;
    if (value == null) byte(0xc0);
    else if (type === 'boolean') byte(value ? 0xc3 : 0xc2);
    else if (type === 'string') run(UTF8.encode(value), 32, 0xa0, 0xd9);
    else if (type === 'number') {
      if (Number.isSafeInteger(value) && !Object.is(value, -0)) integer(value);
      else typed(FLOAT64, value);
    } else if (type === 'bigint') {
      const small = Number(value);
      if (Number.isSafeInteger(small)) integer(small);
      else if (BigInt.asUintN(64, value) === value) typed(UINT64, value);
      else if (BigInt.asIntN(64, value) === value) typed(INT64, value);
      else throw new TypeError('a bigint beyond 64 bits');
    } else if (type !== 'object') throw new TypeError(`a ${type}`);
    else if (depth >= MAX_DEPTH) throw new TypeError('nested too deeply');
    else if (value.toJSON) write(value.toJSON(), depth + 1);
    else if (value instanceof Ext) {
      const { type, data } = value;
      const log = [1, 2, 4, 8, 16].indexOf(data.length);
      if (log < 0) head(data.length, 0, 0, 0xc7);
      else byte(0xd4 + log);
      byte(type);
      const at = grow(data.length);
      out.set(data, at);
    } else if (value instanceof ArrayBuffer) run(new Uint8Array(value), 0, 0, 0xc4);
    else if (ArrayBuffer.isView(value)) run(new Uint8Array(value.buffer, value.byteOffset, value.byteLength), 0, 0, 0xc4);
    else if (Array.isArray(value)) {
      head(value.length, 16, 0x90, 0xdb, 1);
      for (const item of value) write(item, depth + 1);
    } else {
      const members = value instanceof Map ? [...value] : Object.entries(value).filter((member) => member[1] !== undefined);
      head(members.length, 16, 0x80, 0xdd, 1);
      for (const item of members.flat()) write(item, depth + 1);
    }
  };

  //= PROTOCOL.md#R3.5: JSON text in `bin` in msgpack
  if (event?.[0] === '$' && payload !== undefined) payload = UTF8.encode(JSON.stringify(payload));
  //= PROTOCOL.md#R2.3: omit absent members
  write({
    id: id || undefined, re: re || undefined, event: event || undefined, room: room || undefined,
    more: more || undefined, volatile: volatile || undefined, payload,
  }, -1);
  return out.slice(0, end);
}

/** An array or a map that is being read. */
class Container {
  /** The elements of an array; the keys and values of a map in turn. */
  _items: any[] = [];
  /** @param _left the number of items that are still to be read */
  constructor(public _left: number, readonly _isMap = false) {}
}

/** Returns the array, the object or the `Map` that has been read. */
function close({ _items: items, _isMap: isMap }: Container): unknown {
  if (!isMap) return items;
  const members: [any, unknown][] = [];
  for (let i = 0; i < items.length; i += 2) members.push([items[i], items[i + 1]]);
  // Like JSON.parse, `fromEntries` makes a property of the key `__proto__`, and sets no prototype.
  return members.every(([key]) => typeof key === 'string') ? Object.fromEntries(members) : new Map(members);
}

function decode(message: string | Uint8Array): Frame {
  if (typeof message === 'string') throw new CodecError(1008, 'a text message');
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  let at = 0, utf8 = LENIENT;

  const take = (length: number) => {
    at += length;
    if (at > message.length) throw malformed('not one value');
    return message.subarray(at - length, at);
  };
  const number = (kind: number): any => {
    take(SIZES[kind]!);
    const value = (view as any)[GET[kind]!](at - SIZES[kind]!);
    const small = Number(value);
    return Number.isSafeInteger(small) ? small : value;
  };
  const text = (length: number) => {
    const bytes = take(length);
    try { return utf8.decode(bytes); } catch { throw malformed('not UTF-8'); }
  };
  const ext = (length: number) => new Ext(number(INT8), take(length).slice());
  /** Reads a scalar, or the head of a container. */
  const token = (): unknown => {
    const head = number(UINT8);
    if (head < 0x80) return head;
    if (head < 0x90) return new Container(2 * (head & 15), true);
    if (head < 0xa0) return new Container(head & 15);
    if (head < 0xc0) return text(head & 31);
    if (head === 0xc0) return null;
    if (head === 0xc1) throw malformed('not one value');
    if (head < 0xc4) return head > 0xc2;
    // The formats that follow differ in the number of bytes of a length, or of a number.
    if (head < 0xc7) return take(number(head - 0xc4 + UINT8)).slice();
    if (head < 0xca) return ext(number(head - 0xc7 + UINT8));
    if (head < 0xd4) return number(head - FIRST_KIND);
    if (head < 0xd9) return ext(1 << (head - 0xd4));
    if (head < 0xdc) return text(number(head - 0xd9 + UINT8));
    if (head < 0xde) return new Container(number(head - 0xdb + UINT8));
    if (head < 0xe0) return new Container(2 * number(head - 0xdd + UINT8), true);
    return head - 256;
  };
  /** Reads the value that begins with `value`, with all that it contains. The open containers are in an array, not on the stack. */
  const read = (value = token()): unknown => {
    const open: Container[] = [];
    for (;; value = token()) {
      if (value instanceof Container && value._left) {
        open.push(value);
        continue;
      }
      for (;; value = open.pop()) {
        if (value instanceof Container) value = close(value);
        const parent = open[open.length - 1];
        if (!parent) return value;
        parent._items.push(value);
        if (--parent._left) break;
      }
    }
  };

  const frame: Record<string, any> = {};
  // A wrong type is reported after the whole message is read: bytes that are not MessagePack at all come first (R2.10).
  let wrong = '';
  const map = token();
  if (!(map instanceof Container && map._isMap)) {
    read(map);
    wrong = 'not a map';
  } else for (; map._left; map._left -= 2) {
    const name: any = read();
    const isText = TEXTS.includes(name), isFlag = FLAGS.includes(name);
    if (isText) utf8 = STRICT;
    const value = read();
    utf8 = LENIENT;
    if (!isText && !isFlag && name !== 'payload') continue; // R2.4
    if (name in frame || (isText && typeof value !== 'string') || (isFlag && value !== !!value)) wrong = `invalid ${name}`;
    frame[name] = value;
  }
  if (at < message.length) throw malformed('not one value');
  if (wrong) throw new CodecError(1008, wrong);
  const { event, payload } = frame;
  if (event?.[0] === '$' && payload instanceof Uint8Array) {
    try { frame.payload = JSON.parse(STRICT.decode(payload)); } catch { throw malformed('not JSON'); }
  }
  return frame;
}
