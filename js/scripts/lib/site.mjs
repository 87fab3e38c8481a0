import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';

/** Serves the page of the browser tests, and passes upgrades on to the server at `port`: the page and its socket have one origin. */
export async function site(port) {
  const file = (name) => readFile(new URL(name, import.meta.url));
  const answers = {
    '/': async () => ['text/html', await file('page.html')],
    '/other': async () => ['text/html', '<!doctype html><title>other</title>'],
    '/rejoin.js': async () => ['text/javascript', await file('../../dist/index.js')],
  };
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    if (pathname === '/nothing') return response.writeHead(204).end();
    if (pathname === '/download') {
      return response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-disposition': 'attachment; filename=x' }).end('x');
    }
    if (!answers[pathname]) return response.writeHead(404).end();
    const [type, body] = await answers[pathname]();
    response.writeHead(200, { 'content-type': type, connection: 'close' }).end(body);
  });
  server.on('upgrade', (request, socket, head) => {
    const upstream = connect({ port, host: '127.0.0.1' });
    const lines = [`${request.method} ${request.url} HTTP/1.1`];
    for (let index = 0; index < request.rawHeaders.length; index += 2) lines.push(`${request.rawHeaders[index]}: ${request.rawHeaders[index + 1]}`);
    upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
    upstream.write(head);
    socket.pipe(upstream).pipe(socket);
    for (const [one, other] of [[socket, upstream], [upstream, socket]]) one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { port: server.address().port, close: () => server.close() };
}
