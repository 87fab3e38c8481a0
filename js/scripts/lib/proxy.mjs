import { connect, createServer } from 'node:net';

/** How a connection ends: both sides reset, both ended, only one side ended at first, or silence before the reset. */
const WAYS = ['reset', 'end', 'half', 'hole'];
const SILENCE = 30;

/**
 * A TCP proxy on loopback that cuts every connection after a random number of bytes in either direction, in a random way, and
 * delays some of the bytes. `seed` determines what happens to the connection n.
 *
 * While `refuses` is true, it ends connections at once.
 *
 * @param {{ target: number, next: () => number, bytes: number, from?: number }} options a connection lives for `from` to `bytes` bytes
 */
export async function cuttingProxy({ target, next, bytes, from: least = 0 }) {
  const proxy = { cuts: 0, refuses: false, ways: Object.fromEntries(WAYS.map((way) => [way, 0])), enabled: true, port: 0, close: () => server.close() };
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (proxy.refuses) return client.destroy();
    const upstream = connect({ port: target, host: '127.0.0.1', allowHalfOpen: true });
    const plan = {
      left: least + Math.floor((bytes - least) * next() ** 2), // more often early: in the handshake, in `$open`, in the replay
      way: WAYS[Math.floor(next() * WAYS.length)],
      delay: next() < 0.2 ? Math.floor(next() * 10) : 0,
    };
    let isCut = false;
    const both = [client, upstream];
    const reset = () => { for (const socket of both) socket.destroy(); };
    const cut = (towards) => {
      isCut = true;
      proxy.cuts += 1;
      proxy.ways[plan.way] += 1;
      if (plan.way === 'reset') for (const socket of both) socket.resetAndDestroy();
      else if (plan.way === 'end') for (const socket of both) socket.end();
      else if (plan.way === 'half') towards.end();
      if (plan.way !== 'reset') setTimeout(reset, SILENCE);
    };
    const pump = (from, to) => {
      from.on('data', (chunk) => {
        if (isCut) return;
        const part = proxy.enabled ? chunk.subarray(0, plan.left) : chunk;
        plan.left -= part.length;
        const write = () => { if (to.writable) to.write(part); };
        if (plan.delay) setTimeout(write, plan.delay);
        else write();
        if (proxy.enabled && part.length < chunk.length) setTimeout(() => { if (!isCut) cut(to); }, plan.delay);
      });
      from.on('end', () => setTimeout(() => to.end(), plan.delay));
      from.on('error', reset);
      from.on('close', () => to.destroy());
    };
    pump(client, upstream);
    pump(upstream, client);
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  proxy.port = server.address().port;
  return proxy;
}
