/**
 * Builds `dist/`: each entry of the package as an ES module and as CommonJS, its types for both, and the script for pages
 * without a bundler, which the crate `rejoin-server` contains.
 */
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { minify } from 'terser';
import { shortNames } from './scripts/lib/short-names.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The entries that exist. `index` is the core. */
export const ENTRIES = ['index', 'msgpack', 'protobuf', 'react', 'shared', 'test']
  .map((name) => ({ name, file: ['.ts', '.tsx'].map((end) => here(`src/${name}${end}`)).find(existsSync) }))
  .filter(({ file }) => file);

/** An entry that imports the core imports its built file: there is one core, whatever a page imports. */
const oneCore = (end) => ({
  name: 'one-core',
  setup(plugin) {
    plugin.onResolve({ filter: /^\.\/index\.js$/ }, () => ({ path: `./index${end}`, external: true }));
  },
});

const shared = { bundle: true, target: 'es2022', platform: 'neutral', packages: 'external', legalComments: 'none' };

/**
 * What esbuild does not do: it keeps the names of members. Those that begin with `_` are private, and get short names, the same in
 * every entry. The documentation of the package is in its types, where editors show it.
 */
const SMALL = { module: true, ecma: 2022, compress: { passes: 3, inline: 0, lhs_constants: false }, mangle: { properties: { regex: /^_[a-z]/ } } };
const props = Object.fromEntries(Object.entries(await shortNames()).map(([name, short]) => [`$${name}`, short]));

/** Bundles one entry, as text. */
export async function bundle(file, { small = false, ...options } = {}) {
  const built = await build({ ...shared, minifySyntax: small, format: 'esm', entryPoints: [file], write: false, logLevel: 'warning', ...options });
  const { text } = built.outputFiles[0];
  if (!small) return text;
  const { code } = await minify(text, { ...SMALL, nameCache: { props: { props } } });
  return code;
}

async function buildAll() {
  await rm(here('dist'), { recursive: true, force: true });
  await mkdir(here('dist'));
  for (const { name, file } of ENTRIES) {
    for (const [end, format] of [['.js', 'esm'], ['.cjs', 'cjs']]) {
      await writeFile(here(`dist/${name}${end}`), `${await bundle(file, { small: true, format, plugins: [oneCore(end)] })}\n`);
    }
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
