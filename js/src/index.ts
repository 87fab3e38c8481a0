/**
 * rejoin's session mode for browsers and Node: nothing accepted is lost or repeated, whatever happens to sockets. Implements
 * PROTOCOL.md, version 1; comments name its rules (R4.1).
 *
 * ```ts
 * import { connect } from 'rejoin';
 *
 * const room = connect('wss://example.org/ws?room=tea');
 * room.on('say', ({ payload }) => console.log(payload));
 * room.send('say', { text: 'hello' });
 * ```
 *
 * @module
 */
import { createAsks } from './asks.js';
import { createChannel, readFrames } from './channel.js';
import { createEmitter } from './emitter.js';
import { asyncDispose, createFrame, settled } from './sent.js';

export { connect } from './connection.js';
export { json, CodecError, type Codec, type Frame } from './codec.js';
export { AskError, Lost } from './lost.js';
export type * from './types.js';

/** @internal For `rejoin/shared`, whose tabs do what needs no socket. */
export const parts = [createAsks, createChannel, createEmitter, createFrame, readFrames, settled, asyncDispose] as const;
