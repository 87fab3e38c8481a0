import test from 'node:test';
import { loadVectors, play, readClient } from './vectors.mjs';

const source = await readClient();
for (const vector of loadVectors()) test(`${vector.file}: ${vector.name}`, () => play(vector, source));
