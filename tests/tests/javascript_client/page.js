// Works with the script of the server, and stores its observations in `window.outcome`.
import { connect } from './rejoin.js';

const url = `ws://${location.host}/ws`;
const once = (connection, type) => new Promise((resolve) => {
  const off = connection.on(type, (detail) => {
    off();
    resolve(detail);
  });
});

/** Sends frames of this size as fast as the buffer takes them, and waits until all are back. */
async function exchange(count, size, limits) {
  const connection = connect(url, limits);
  const payload = 'x'.repeat(size);
  const begun = performance.now();
  let back = 0;
  let wrong = 0;
  const done = new Promise((resolve) => {
    connection.on('*', (detail) => {
      back += 1;
      if (Number(detail.id) !== back || detail.payload !== payload) wrong += 1;
      if (back === count) resolve(undefined);
    });
  });
  for (let number = 1; number <= count; number += 1) {
    while (connection.send('echo', payload, { id: String(number) }).error) await once(connection, '$acked');
  }
  await done;
  connection.close();
  return { back, wrong, ms: performance.now() - begun };
}

/** A frame larger than the server accepts costs nothing but itself. */
async function oversized() {
  const connection = connect(url);
  await once(connection, '$open');
  const { size, limit } = connection.send('echo', 'x'.repeat(100_000)).error;
  const back = once(connection, '*');
  const { number } = connection.send('echo', null, { id: 'after' });
  const { id } = await back;
  connection.close();
  return { refused: { size, limit }, number, back: id };
}

/** Resumes after its socket was cut in the middle of frames in both directions. */
async function cut(count, size) {
  const connection = connect(url);
  const work = [];
  const done = new Promise((resolve) => {
    connection.on('*', (detail) => {
      work.push(Number(detail.id));
      if (work.length === count / 2) connection.cut();
      if (work.length === count) resolve(undefined);
    });
  });
  await once(connection, '$open');
  for (let number = 1; number <= count; number += 1) connection.send('echo', 'x'.repeat(size), { id: String(number) });
  await done;
  connection.close();
  return { inOrder: work.every((number, index) => number === index + 1), received: work.length };
}

/** Asks a slow source for each token. Returns the credentials that the server has seen: before its credentials expired, and afterwards. */
async function renewed() {
  let calls = 0;
  const token = async () => {
    await new Promise((resolve) => { setTimeout(resolve, 1); });
    calls += 1;
    return `tökèn ${calls} ~~~ ???`;
  };
  const connection = connect(url, { token });
  const seen = [];
  for (const type of ['$open', '$restored']) {
    await once(connection, type);
    const message = once(connection, 'who');
    connection.send('who');
    seen.push((await message).payload);
  }
  connection.close();
  return seen;
}

const works = { exchange, oversized, cut, renewed };

/** For the test: begins a work. */
Object.assign(window, {
  outcome: null,
  begin(name, ...parameters) {
    window.outcome = null;
    works[name](...parameters).then((outcome) => { window.outcome = outcome; }, (error) => { window.outcome = `${error}`; });
  },
});
document.title = 'ready';
