/** Fails when a built entry of the package, compressed, is larger than its limit. The core is not part of the others. */
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { ENTRIES } from '../build.mjs';

const limits = JSON.parse(await readFile(new URL('size-limits.json', import.meta.url), 'utf8'));
let failed = false;
for (const { name } of ENTRIES) {
  const size = gzipSync(await readFile(new URL(`../dist/${name}.js`, import.meta.url)), { level: 9 }).length;
  const limit = limits[name] ?? Infinity;
  console.log(`${name}: ${size} bytes of gzip${limit === Infinity ? '' : ` (at most ${limit})`}`);
  if (size > limit) failed = true;
}
process.exit(failed ? 1 : 0);
