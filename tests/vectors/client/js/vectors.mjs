/** Plays the vectors of this folder's parent against the npm package of the folder `js`. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { World } from './world.mjs';

const FOLDER = new URL('../', import.meta.url);
export const PACKAGE = new URL('../../../../js/', import.meta.url);

/** All vectors. */
export function loadVectors() {
  return readdirSync(FOLDER).filter((name) => name.endsWith('.json')).sort().flatMap((file) => {
    const { vectors } = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
    return vectors.map((vector) => ({ file, ...vector }));
  });
}

const OPEN = {
  session: 'tokentokentokentoken-1', id: 'ada', room: 'tea', resumed: false, received: 0, window_ms: 30000,
  buffer: 256, buffer_bytes: 1048576, max_message: 65536,
};

/** Throws where the client does not do what the vector says. */
export async function play(vector, source) {
  const world = new World(source, vector.random ?? 0);
  let next = 0;
  for (const { late_timers: late, open, ...step } of vector.steps) {
    if (late) world.stall(step.at);
    else await world.advance(step.at);
    if (step.do) {
      nothingElse(world, next, step);
      await world.do(open ? { ...step, frame: { event: '$open', payload: { ...OPEN, ...open } } } : step);
    } else {
      const seen = world.seen[next];
      if (!seen || !matches(seen, step)) {
        throw new Error(`expected ${JSON.stringify(step)}\n     saw ${JSON.stringify(seen ?? 'nothing')}`);
      }
      next += 1;
    }
  }
  nothingElse(world, next, { at: 'the end' });
}

function nothingElse(world, next, step) {
  if (world.seen.length > next) {
    throw new Error(`before ${JSON.stringify(step)}\n     saw ${JSON.stringify(world.seen[next])}`);
  }
}

/** Events may have members that the vector does not name; everything else is the same. */
function matches(seen, expected) {
  if (expected.see === 'event') return Object.entries(expected).every(([name, value]) => isDeepStrictEqual(seen[name], value));
  const isPing = seen.frame?.event === '$ping' && expected.frame?.event === '$ping'; // its payload is the client's own choice
  return isDeepStrictEqual(isPing ? { ...seen, frame: { event: '$ping' } } : seen, expected);
}

/**
 * The package as one script, from its sources; `change` may alter the text of each of them.
 * @param {{ change?: (file: string, text: string) => string, small?: boolean }} [options] the file has a name such as `link.ts`; `small`
 *   is the script that is published, with short names
 */
export async function readClient({ change, small } = {}) {
  const path = (name) => fileURLToPath(new URL(name, PACKAGE));
  if (!existsSync(path('node_modules'))) execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: path('.'), stdio: 'inherit' });
  const { bundle } = await import(new URL('build.mjs', PACKAGE));
  const changed = {
    name: 'changed',
    setup: (plugin) => plugin.onLoad({ filter: /\.ts$/ }, ({ path: file }) => (
      { contents: change(file.split('/').at(-1), readFileSync(file, 'utf8')), loader: 'ts' })),
  };
  const text = await bundle(path('src/index.ts'), { small, format: 'cjs', plugins: change ? [changed] : [] });
  return `const module = {};\n${text}\nconst rejoin = module.exports;`;
}
