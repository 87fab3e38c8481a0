/** Imports and requires every entry of the installed package, and compares the names that both ways export. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const manifest = JSON.parse(readFileSync(require.resolve('rejoin/package.json'), 'utf8'));
for (const entry of Object.keys(manifest.exports).filter((entry) => entry !== './package.json')) {
  const name = `rejoin${entry.slice(1)}`;
  const names = Object.keys(await import(name)).sort();
  assert.ok(names.length > 0, name);
  assert.deepEqual(Object.keys(require(name)).sort(), names, name);
  console.log(`${name}: ${names.join(', ')}`);
}
// One core, whatever is imported: an error of a codec is an instance of the core's class.
const { CodecError } = await import('rejoin');
const { msgpack } = await import('rejoin/msgpack');
assert.throws(() => msgpack().decode(''), CodecError);
