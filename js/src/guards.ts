/** Checks of received values and of the application's arguments. */

/** The payload of `$open` (R3.10). */
export interface Open {
  session: string;
  id: string;
  room: string;
  resumed: boolean;
  received: number;
  window_ms: number;
  buffer: number;
  buffer_bytes?: number;
  max_message?: number;
  lost?: string;
}

const UTF8 = new TextEncoder();

/** The size of a WebSocket message. */
export const byteLength = (data: string | Uint8Array): number => (typeof data === 'string' ? UTF8.encode(data) : data).length;

/** Base64url without padding, of the text as UTF-8 (R1.22). */
export const base64url = (text: string): string => btoa(String.fromCharCode(...UTF8.encode(text)))
  .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

//= PROTOCOL.md#R1.22: of 1 to 4,096 characters
export const isToken = (value: unknown): value is string => typeof value === 'string' && value !== '' && byteLength(value) <= 3072;

//= PROTOCOL.md#R3.11: from 0 to 2^53 − 1
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isBound = (value: unknown): boolean => value === undefined || isCount(value);

/** A string or absent; null is neither (R2.11). */
export const isText = (value: unknown): boolean => value === undefined || typeof value === 'string';

/** A boolean or absent; null is neither (R2.11). */
export const isFlag = (value: unknown): boolean => value === undefined || typeof value === 'boolean';

//= PROTOCOL.md#R5.2: 22 to 64 characters of `[A-Za-z0-9_-]`
export const isOpen = (p: any): p is Open => /^[A-Za-z0-9_-]{22,64}$/.test(p?.session) && typeof p.id === 'string'
  && typeof p.room === 'string' && typeof p.resumed === 'boolean' && isCount(p.received) && isCount(p.window_ms) && isCount(p.buffer)
  && isBound(p.buffer_bytes) && isBound(p.max_message) && isText(p.lost);
