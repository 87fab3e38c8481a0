/**
 * Builds `dist/`: each entry of the package as an ES module and as CommonJS, its types for both, and the script for pages
 * without a bundler, which the crate `rejoin-server` contains.
 */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The entries that exist. `index` is the core. */
export const ENTRIES = ['index', 'msgpack', 'protobuf', 'react', 'shared', 'test']
  .map((name) => ({ name, file: ['.ts', '.tsx'].map((end) => here(`src/${name}${end}`)).find(existsSync) }))
  .filter(({ file }) => file);

/** Members whose names begin with `_` are private to the core: the build shortens them. */
export const MANGLED = { mangleProps: /^_[a-z]/, reserveProps: /^__/ };

/** An entry that imports the core imports its built file: there is one core, whatever a page imports. */
const oneCore = (end) => ({
  name: 'one-core',
  setup(plugin) {
    plugin.onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: `./index${end}`, external: true }));
  },
});

const shared = { bundle: true, target: 'es2022', platform: 'neutral', packages: 'external', legalComments: 'none', ...MANGLED };

/** Minified, so that the package stays small; its documentation is in the types, where editors show it. */
const packed = { minify: true };

/** Bundles one entry in memory, or into `outfile`. */
export function bundle(file, options = {}) {
  return build({ ...shared, format: 'esm', entryPoints: [file], write: options.outfile !== undefined, logLevel: 'warning', ...options });
}

async function buildAll() {
  await rm(here('dist'), { recursive: true, force: true });
  await mkdir(here('dist'));
  for (const { name, file } of ENTRIES) {
    await bundle(file, { ...packed, outfile: here(`dist/${name}.js`), plugins: [oneCore('.js')] });
    await bundle(file, { ...packed, outfile: here(`dist/${name}.cjs`), format: 'cjs', plugins: [oneCore('.cjs')] });
  }
  // The file that the server sends (feature `script`) is the same, with a line that says what it is.
  const script = await readFile(here('dist/index.js'), 'utf8');
  await writeFile(here('../server/src/script/rejoin.js'), `/* rejoin, the client for browsers: js/src, built by js/build.mjs */\n${script}`);
  execFileSync(process.execPath, [here('node_modules/typescript/bin/tsc'), '-p', here('tsconfig.build.json')], { stdio: 'inherit' });
  // The types that an entry needs, directly or not. The others are private.
  const needed = new Set(ENTRIES.map(({ name }) => name));
  for (const name of needed) {
    const text = await readFile(here(`dist/${name}.d.ts`), 'utf8');
    for (const [, other] of text.matchAll(/(?:from|import\()\s*['"]\.\/([^'"]+)\.js['"]/g)) needed.add(other);
  }
  for (const name of await readdir(here('dist'))) {
    if (name.endsWith('.d.ts') && !needed.has(name.slice(0, -5))) await rm(here(`dist/${name}`));
  }
  // The same types for CommonJS: a `.d.cts` that names the other ones by `.cjs`.
  for (const name of await readdir(here('dist'))) {
    if (!name.endsWith('.d.ts')) continue;
    const text = await readFile(here(`dist/${name}`), 'utf8');
    await writeFile(here(`dist/${name.slice(0, -5)}.d.cts`), text.replace(/(from|import\()(\s*)(['"])(\.[^'"]+)\.js\3/g, '$1$2$3$4.cjs$3'));
  }
  for (const name of ['LICENSE-MIT', 'LICENSE-APACHE']) await copyFile(here(`../${name}`), here(`dist/${name}`));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildAll();
