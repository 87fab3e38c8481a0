import { describe, expect, test } from 'vitest';
import { Packed, protobuf } from '../src/protobuf.js';
import type { Frame } from '../src/index.js';
import { hex, text, unhex, vectors } from './vectors.js';
import { random } from './random.js';

const { decode, ...codec } = protobuf();
const encode = codec.encode as (frame: Frame) => Uint8Array<ArrayBuffer>;
const CODES = { malformed: 1007, 'not a frame': 1008 };

describe('vectors of the server', () => {
  for (const vector of vectors('protobuf')) {
    test(vector.bytes.slice(0, 80) || 'nothing', () => {
      const bytes = unhex(vector.bytes);
      // Unlike the server, this codec does not look into MessagePack.
      if (vector.error && !/2002$/.test(vector.bytes)) {
        return expect(() => decode(bytes)).toThrow(expect.objectContaining({ code: CODES[vector.error] }));
      }
      const frame = decode(bytes);
      if (frame.payload instanceof Packed) return expect(hex(encode(frame))).toBe(vector.bytes);
      expect(text(frame)).toBe(vector.json?.replace(' [1] ', '[1]'));
      if (vector.canonical) expect(hex(encode(frame))).toBe(vector.bytes);
    });
  }
});

test('payloads come back: bytes, JSON, MessagePack', () => {
  for (const payload of [new Uint8Array(), new Uint8Array([1, 2]), null, 0, '', { a: [1] }, new Packed(new Uint8Array([0xc0])), undefined]) {
    expect(decode(encode({ event: 'e', payload })).payload).toStrictEqual(payload);
  }
});

test('members come back', () => {
  const frame = { id: 'i', event: 'e'.repeat(300), re: 'r', room: 'ü', more: true, volatile: true, payload: new Uint8Array(20_000) };
  expect(decode(encode(frame))).toStrictEqual(frame);
  expect(encode({ id: '', event: '', more: false })).toHaveLength(0);
});

test('the payload of a control frame is JSON', () => {
  expect(hex(encode({ event: '$ack', payload: 1 }))).toBe(hex(Buffer.from('\x12\x04$ack\x1a\x011\x20\x01', 'latin1')));
});

test('truncated and changed messages give frames or CodecErrors', () => {
  const next = random(3);
  const bytes = encode({ id: 'i', event: 'e', payload: { a: 1 }, re: 'r', more: true, room: 'x' });
  for (let i = 0; i < 20_000; i += 1) {
    const changed = bytes.slice(0, Math.floor(next() * bytes.length) + 1);
    for (let n = 0; n < 3; n += 1) changed[Math.floor(next() * changed.length)] = Math.floor(next() * 256);
    try { decode(changed); } catch (error) { expect(error).toHaveProperty('code'); }
  }
});
