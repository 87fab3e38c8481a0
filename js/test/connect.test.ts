import { expect, test } from 'vitest';
import { connect } from '../src/index.js';

test('options out of their range are refused', () => {
  class WebSocket {}
  expect(() => connect('ws://localhost', { WebSocket, buffer: 0 })).toThrow(RangeError);
  expect(() => connect('ws://localhost', { WebSocket, bufferBytes: 0.5 })).toThrow(RangeError);
  expect(() => connect('ws://localhost', { WebSocket, token: '' })).toThrow(RangeError);
  expect(() => connect('not a url', { WebSocket })).toThrow(TypeError);
});
