/**
 * Makes each one-line mistake of `mutants.json` in a copy of the package's sources, and plays the vectors until one finds it.
 * Fails when a mistake survives, or when its line is not in its file exactly once. Arguments choose by parts of names.
 */
import { readFileSync } from 'node:fs';
import { PACKAGE, loadVectors, play, readClient } from './vectors.mjs';

const vectors = loadVectors();
const parts = process.argv.slice(2);
const mutants = JSON.parse(readFileSync(new URL('mutants.json', import.meta.url), 'utf8'))
  .filter(({ bug }) => parts.length === 0 || parts.some((part) => bug.includes(part)));

/** The name of the first vector that fails. */
async function findIt(text) {
  for (const vector of vectors) {
    try {
      await play(vector, text);
    } catch (error) {
      return `${vector.file}: ${vector.name}`;
    }
  }
  return null;
}

const found = await findIt(await readClient());
if (found) {
  console.log(`with no mistake planted: ${found}`);
  process.exit(2);
}
let failed = 0;
for (const { bug, file, in: line, becomes } of mutants) {
  const times = readFileSync(new URL(`src/${file}`, PACKAGE), 'utf8').split(line).length - 1;
  const plant = (name, text) => (name === file ? text.replace(line, () => becomes) : text);
  const verdict = times === 1 ? await findIt(await readClient({ change: plant })) : null;
  if (verdict === null) failed += 1;
  console.log(`${bug}: ${times === 1 ? (verdict ? `killed by ${verdict}` : 'SURVIVED') : `its line is in ${file} ${times} times`}`);
}
console.log(`${mutants.length} planted mistakes, ${mutants.length - failed} found`);
process.exit(failed || mutants.length === 0 ? 1 : 0);
