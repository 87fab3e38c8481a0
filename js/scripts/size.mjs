/**
 * Fails when a built entry of the package, compressed, is larger than its limit, or when a page states another size of the core. The
 * core is not part of the others.
 */
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { ENTRIES } from '../build.mjs';

const limits = JSON.parse(await readFile(new URL('size-limits.json', import.meta.url), 'utf8'));
let failed = false;
let core = '';
for (const { name } of ENTRIES) {
  const size = gzipSync(await readFile(new URL(`../dist/${name}.js`, import.meta.url)), { level: 9 }).length;
  if (name === 'index') core = (size / 1000).toFixed(1);
  const limit = limits[name] ?? Infinity;
  console.log(`${name}: ${size} bytes of gzip${limit === Infinity ? '' : ` (at most ${limit})`}`);
  if (size > limit) failed = true;
}
for (const page of ['../README.md', '../../README.md', '../../docs/from-socket.io-client.md']) {
  if ((await readFile(new URL(page, import.meta.url), 'utf8')).includes(`${core} KB`)) continue;
  console.log(`${page} does not say that the core has ${core} KB`);
  failed = true;
}
process.exit(failed ? 1 : 0);
