import { describe, expect, test } from 'vitest';
import { Ext, msgpack } from '../src/msgpack.js';
import type { Frame } from '../src/index.js';
import { hex, text, unhex, vectors } from './vectors.js';
import { random } from './random.js';

const { decode, ...codec } = msgpack();
const encode = codec.encode as (frame: Frame) => Uint8Array<ArrayBuffer>;
const payload = (value: unknown) => decode(encode({ event: 'e', payload: value })).payload;
const CODES = { malformed: 1007, 'not a frame': 1008 };

/** The server widens floats to text with a fraction, writes -0 and timestamps in its own way, and keeps duplicate keys. */
const sameAsServer = (json: string) => json.replace(/(\d)\.0\b/g, '$1').replace(/:-0\b/, ':0')
  .replace('"a":1,"a":2', '"a":2').replace(/"1970-01-01T00:00:00Z"/, '{"ext":-1,"data":"AAAAAA=="}')
  .replace('"2023-11-14T22:13:20Z"', '');

describe('vectors of the server', () => {
  for (const vector of vectors('msgpack')) {
    test(vector.bytes.slice(0, 80), () => {
      const bytes = unhex(vector.bytes);
      if (vector.error) return expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: CODES[vector.error] }));
      const frame = decode(bytes);
      const isTimestamp = frame.payload instanceof Ext && frame.payload.type === -1;
      if (typeof vector.json === 'string' && !isTimestamp) expect(text(frame)).toBe(sameAsServer(vector.json));
      // The server copies payloads: those that are not in the shortest form, too deep or of a shorter float change here.
      const isCopied = /^82a56576656e74a165a77061796c6f6164/.test(vector.bytes);
      if (vector.canonical && !isCopied) expect(hex(encode(frame))).toBe(vector.bytes);
    });
  }
});

test('values come back', () => {
  const values = [
    null, true, false, '', 'ä🐝', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(256), 'x'.repeat(70_000), [], {},
    0, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, 2 ** 53, 1e300, 0.1, -0, NaN, Infinity,
    -1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, Number.MIN_SAFE_INTEGER,
    2n ** 53n, 2n ** 64n - 1n, -(2n ** 63n), new Uint8Array(), new Uint8Array(256).fill(7), new Uint8Array(65_536),
    Array(15).fill(1), Array(16).fill(1), Array(65_536).fill(null), { a: { b: [1, { c: 'd' }] } },
    new Map<unknown, unknown>([[1, 'a'], [[1], new Map([[null, 2]])]]),
    ...[1, 2, 3, 4, 8, 16, 17, 256].map((length) => new Ext(-5, new Uint8Array(length))),
  ];
  for (const value of values) expect(payload(value)).toStrictEqual(value);
});

test('heads are the shortest', () => {
  const length = (value: unknown) => encode({ payload: value }).length - encode({ payload: null }).length + 1;
  const lengths: [unknown, number][] = [
    [127, 1], [128, 2], [256, 3], [65_536, 5], [2 ** 32, 9], [-32, 1], [-33, 2], [-129, 3], [-32_769, 5], [-(2 ** 31) - 1, 9],
    [5n, 1], ['x'.repeat(31), 32], ['x'.repeat(32), 34], ['x'.repeat(256), 259], [Array(15).fill(0), 16], [Array(16).fill(0), 19],
    [new Uint8Array(1), 3], [new Ext(1, new Uint8Array(16)), 18], [new Ext(1, new Uint8Array(3)), 6], [0.5, 9],
  ];
  for (const [value, expected] of lengths) expect(length(value), String(value)).toBe(expected);
});

test('random values come back', () => {
  const next = random(1);
  const pick = (n: number) => Math.floor(next() * n);
  const value = (depth: number): unknown => {
    switch (pick(depth > 3 ? 6 : 9)) {
      case 0: return next() * 2 ** pick(70);
      case 1: return (pick(2) ? 1 : -1) * Math.floor(next() * 2 ** pick(54));
      case 2: return String.fromCodePoint(...Array.from({ length: pick(40) }, () => pick(0xd800)));
      case 3: return [null, true, false][pick(3)];
      case 4: return Uint8Array.from({ length: pick(300) }, () => pick(256));
      case 5: return new Ext(pick(256) - 128, Uint8Array.from({ length: pick(20) }, () => pick(256)));
      case 6: return Array.from({ length: pick(5) }, () => value(depth + 1));
      case 7: return Object.fromEntries(Array.from({ length: pick(5) }, (_, i) => [`${i}k`, value(depth + 1)]));
      default: return new Map([[pick(9), value(depth + 1)], [null as never, value(depth + 1)]]);
    }
  };
  for (let i = 0; i < 1000; i += 1) {
    const made = value(0);
    expect(payload(made)).toStrictEqual(made);
  }
});

test('truncated and changed messages give frames or CodecErrors', () => {
  const next = random(2);
  const bytes = encode({ id: 'i', event: 'e', payload: { a: [1, 'x', new Uint8Array(3), -5000, 1.5, { b: null }], c: new Ext(1, new Uint8Array(2)) } });
  for (let end = 0; end < bytes.length; end += 1) expect(() => decode(bytes.slice(0, end))).toThrow(expect.objectContaining({ code: 1007 }));
  for (let i = 0; i < 20_000; i += 1) {
    const changed = bytes.slice();
    for (let n = 0; n < 3; n += 1) changed[Math.floor(next() * changed.length)] = Math.floor(next() * 256);
    try { decode(changed); } catch (error) { expect(error).toHaveProperty('code'); }
  }
});

test('a view into a larger buffer is read from its offset', () => {
  const bytes = encode({ event: 'e', payload: 300 });
  const buffer = new Uint8Array(bytes.length + 9);
  buffer.set(bytes, 5);
  expect(decode(buffer.subarray(5, 5 + bytes.length)).payload).toBe(300);
});

test('bin is a copy', () => {
  const bytes = encode({ payload: new Uint8Array([1]) });
  const frame = decode(bytes);
  bytes.fill(0);
  expect(frame.payload).toStrictEqual(new Uint8Array([1]));
});

test('the key __proto__ is a property like others', () => {
  const received = payload(JSON.parse('{"__proto__":{"isAdmin":true},"a":1}')) as Record<string, unknown>;
  expect(received.isAdmin).toBeUndefined();
  expect(Object.getPrototypeOf(received)).toBe(Object.prototype);
  expect(Object.keys(received)).toEqual(['__proto__', 'a']);
  const frame = decode(unhex('82a56576656e74a165a95f5f70726f746f5f5f81a269640a'));
  expect(Object.getPrototypeOf(frame)).toBe(Object.prototype);
});

test('a payload is sent at most 128 levels deep, and received at any depth', () => {
  const nested = (depth: number) => { let value: unknown = 1; for (let i = 0; i < depth; i += 1) value = [value]; return value; };
  expect(payload(nested(128))).toStrictEqual(nested(128));
  expect(() => encode({ payload: nested(129) })).toThrow(TypeError);
  const cycle: unknown[] = [];
  cycle.push(cycle);
  expect(() => encode({ payload: cycle })).toThrow('nested too deeply');
  const deep = new Uint8Array(100_000).fill(0x91);
  const head = encode({ payload: null });
  const message = new Uint8Array([...head.slice(0, -1), ...deep, 0xc0] );
  expect(Array.isArray(decode(message).payload)).toBe(true);
});

test('claimed lengths cost no memory', () => {
  const head = hex(encode({ payload: null })).slice(0, -2);
  for (const claim of ['ddffffffff', 'dfffffffff', 'dbffffffff', 'c6ffffffff', 'c9ffffffff']) {
    expect(() => decode(unhex(head + claim + 'c0'.repeat(9)))).toThrow(expect.objectContaining({ code: 1007 }));
  }
});

test('values are encoded as JSON would, or refused', () => {
  expect(payload({ at: new Date(0), a: undefined, b: [undefined] })).toStrictEqual({ at: '1970-01-01T00:00:00.000Z', b: [null] });
  expect(payload(new Uint16Array([1]))).toStrictEqual(new Uint8Array([1, 0]));
  expect(payload(new Uint8Array([5]).buffer)).toStrictEqual(new Uint8Array([5]));
  for (const value of [() => 1, Symbol('s'), 2n ** 64n, -(2n ** 63n) - 1n]) expect(() => encode({ payload: value })).toThrow(TypeError);
});

test('a key that only looks like a name is ignored', () => {
  expect(decode(unhex('8191a26964a161'))).toEqual({});
  expect(decode(unhex('82a56576656e74a16591a26964c0'))).toEqual({ event: 'e' });
});

test('the payload of a control frame is JSON in bin', () => {
  expect(hex(encode({ event: '$ack', payload: 1 }))).toBe(`82${hex(Buffer.from('\xa5event\xa4$ack\xa7payload\xc4\x011', 'latin1'))}`);
  expect(decode(encode({ event: '$gap', payload: { from: 1, to: 2 } })).payload).toEqual({ from: 1, to: 2 });
  const broken = Buffer.from('\x82\xa5event\xa4$ack\xa7payload\xc4\x01{', 'latin1');
  expect(() => decode(broken)).toThrow(expect.objectContaining({ code: 1007 }));
  expect(() => decode('{}')).toThrow(expect.objectContaining({ code: 1008 }));
});
