/** Fails when an entry of the package, minified and compressed, is larger than its limit. The core is not part of the others. */
import { readFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { ENTRIES, bundle } from '../build.mjs';

const limits = JSON.parse(await readFile(new URL('size-limits.json', import.meta.url), 'utf8'));
let failed = false;
for (const { name, file } of ENTRIES) {
  const plugins = name === 'index' ? [] : [{
    name: 'without-core',
    setup: (plugin) => plugin.onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: 'rejoin', external: true })),
  }];
  const built = await bundle(file, { minify: true, plugins });
  const size = gzipSync(built.outputFiles[0].contents, { level: 9 }).length;
  const limit = limits[name] ?? Infinity;
  console.log(`${name}: ${size} bytes of gzip${limit === Infinity ? '' : ` (at most ${limit})`}`);
  if (size > limit) failed = true;
}
process.exit(failed ? 1 : 0);
