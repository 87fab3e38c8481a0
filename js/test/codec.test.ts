import { expect, test } from 'vitest';
import { json } from '../src/index.js';

test('absent members are omitted', () => {
  expect(json.encode({ event: 'say', id: '', more: false, payload: null })).toBe('{"event":"say","payload":null}');
});

test('what is not JSON is 1007, a binary message 1008', () => {
  expect(() => json.decode('{')).toThrow(expect.objectContaining({ code: 1007 }));
  expect(() => json.decode(new Uint8Array(1))).toThrow(expect.objectContaining({ code: 1008 }));
});
