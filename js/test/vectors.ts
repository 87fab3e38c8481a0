/** The vectors in `tests/vectors/codecs`, and frames as the codec `json` of the server encodes them. */
import { readFileSync } from 'node:fs';
import { Ext } from '../src/msgpack.js';
import type { Frame } from '../src/index.js';

export interface Vector {
  bytes: string;
  json?: string | null;
  canonical?: boolean;
  error?: 'malformed' | 'not a frame';
}

export function vectors(name: string): Vector[] {
  return JSON.parse(readFileSync(new URL(`../../tests/vectors/codecs/${name}.json`, import.meta.url), 'utf8'));
}

export const unhex = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));
export const hex = (bytes: Uint8Array | string) => Buffer.from(bytes as Uint8Array).toString('hex');

/** The same text as the server's, but for floats without fraction and timestamps: those are compared as numbers, or not at all. */
export function text({ id, event, payload, re, more, volatile, room }: Frame): string {
  const members = [['id', id], ['re', re], ['event', event], ['room', room], ['more', more], ['volatile', volatile], ['payload', payload]];
  return object(members.filter(([name, value]) => (name === 'payload' ? value !== undefined : value)) as [string, unknown][]);
}

function object(members: [unknown, unknown][]): string {
  return `{${members.map(([key, value]) => `${JSON.stringify(typeof key === 'string' ? key : json(key))}:${json(value)}`).join(',')}}`;
}

function json(value: unknown): string {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Uint8Array) return JSON.stringify(Buffer.from(value).toString('base64'));
  if (value instanceof Ext) return `{"ext":${value.type},"data":"${Buffer.from(value.data).toString('base64')}"}`;
  if (Array.isArray(value)) return `[${value.map(json).join(',')}]`;
  if (value instanceof Map) return object([...value]);
  if (value !== null && typeof value === 'object') return object(Object.entries(value));
  return JSON.stringify(value);
}
