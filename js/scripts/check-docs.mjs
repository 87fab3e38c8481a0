/**
 * Checks the types of every block of TypeScript in the README of the package and in the pages about other clients, as a user would
 * compile it, and builds the example in React.
 */
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundle } from '../build.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const PAGES = ['../README.md', '../../docs/from-socket.io-client.md', '../../docs/from-wspulse-client-ts.md'];
const folder = here('../dist-docs');

await rm(folder, { recursive: true, force: true });
await mkdir(folder);
let count = 0;
for (const page of PAGES) {
  const text = await readFile(here(page), 'utf8');
  const blocks = [...text.matchAll(/^```(tsx?)\n(.*?)^```$/gms)];
  if (blocks.length === 0) throw new Error(`${page} has no TypeScript`);
  for (const [, kind, code] of blocks) {
    const line = text.slice(0, text.indexOf(code)).split('\n').length;
    // Every block is a module of its own.
    await writeFile(`${folder}/${page.split('/').at(-1).replace(/\W/g, '-')}-line-${line}.${kind}`, `${code}export {};\n`);
    count += 1;
  }
}
const config = { extends: '../tsconfig.json', compilerOptions: { noEmit: true, noUnusedLocals: false }, include: ['.', '../examples'] };
await writeFile(`${folder}/tsconfig.json`, JSON.stringify(config));
execFileSync(process.execPath, [here('../node_modules/typescript/bin/tsc'), '-p', folder], { stdio: 'inherit' });
const example = await bundle(here('../examples/chat.tsx'), { jsx: 'automatic', small: true });
console.log(`${count} blocks of the documentation and the example compile (${example.length} bytes)`);
await rm(folder, { recursive: true });
