import test from 'node:test';
import { loadVectors, play, readClient } from './vectors.mjs';

for (const small of [false, true]) {
  const source = await readClient({ small });
  for (const vector of loadVectors()) test(`${vector.file}: ${vector.name}${small ? ' (as published)' : ''}`, () => play(vector, source));
}
