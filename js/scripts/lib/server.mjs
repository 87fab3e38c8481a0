import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where the program is: `cargo build --bin rejoin-testserver` makes it, in the folder where cargo builds. */
const program = () => {
  if (process.env.REJOIN_TESTSERVER) return process.env.REJOIN_TESTSERVER;
  const script = fileURLToPath(new URL('../../../scripts/target_dir.sh', import.meta.url));
  return `${execFileSync(script, { encoding: 'utf8' }).trimEnd()}/debug/rejoin-testserver`;
};

/** Starts `rejoin-testserver` on free ports. */
export async function testServer(...options) {
  const path = program();
  if (!existsSync(path)) throw new Error(`there is no ${path}: build it, or name it in REJOIN_TESTSERVER`);
  const server = spawn(path, options, { stdio: ['ignore', 'ignore', 'pipe'] });
  process.once('exit', () => server.kill());
  const [, port, control] = await new Promise((resolve, reject) => {
    let text = '';
    server.stderr.on('data', (chunk) => {
      text += chunk;
      const found = /READY:(\d+):(\d+)/.exec(text);
      if (found) resolve(found);
    });
    server.once('exit', () => reject(new Error(`the server has ended: ${text}`)));
  });
  return {
    port: Number(port),
    async control(path, method = 'GET') {
      const answer = await fetch(`http://127.0.0.1:${control}${path}`, { method });
      return answer.json();
    },
    stop: () => server.kill(),
  };
}
