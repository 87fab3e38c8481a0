/**
 * Makes each one-line mistake of `mutants.json` in a copy of the client's text, and plays the vectors until one finds it.
 * Fails when a mistake survives, or when its line is not in the client exactly once. Arguments choose by parts of names.
 */
import { readFileSync } from 'node:fs';
import { loadVectors, play, readClient } from './vectors.mjs';

const source = readClient();
const vectors = loadVectors();
const parts = process.argv.slice(2);
const mutants = JSON.parse(readFileSync(new URL('mutants.json', import.meta.url), 'utf8'))
  .filter(({ bug }) => parts.length === 0 || parts.some((part) => bug.includes(part)));

/** The name of the first vector that fails. */
function findIt(text) {
  for (const vector of vectors) {
    try {
      play(vector, text);
    } catch (error) {
      if (error instanceof SyntaxError) throw new Error('the mistake is not JavaScript', { cause: error });
      return `${vector.file}: ${vector.name}`;
    }
  }
  return null;
}

const found = findIt(source);
if (found) {
  console.log(`with no mistake planted: ${found}`);
  process.exit(2);
}
let failed = 0;
for (const { bug, in: line, becomes } of mutants) {
  const times = source.split(line).length - 1;
  const verdict = times !== 1 ? `its line is in the client ${times} times` : findIt(source.replace(line, () => becomes));
  if (times !== 1 || verdict === null) failed += 1;
  console.log(`${bug}: ${times === 1 ? (verdict ? `killed by ${verdict}` : 'SURVIVED') : verdict}`);
}
console.log(`${mutants.length} planted mistakes, ${mutants.length - failed} found`);
process.exit(failed || mutants.length === 0 ? 1 : 0);
