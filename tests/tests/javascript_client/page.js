// Works with `rejoin.js` and leaves what it has seen in `window.outcome`.
import { Rejoin } from './rejoin.js';

const url = `ws://${location.host}/ws`;
const once = (connection, type) => new Promise((resolve) => connection.addEventListener(type, resolve, { once: true }));

/** Sends frames of this size as fast as the buffer takes them, and waits until all are back. */
async function exchange(count, size, limits) {
  const connection = new Rejoin(url, limits);
  const payload = 'x'.repeat(size);
  const begun = performance.now();
  let back = 0;
  let wrong = 0;
  const done = new Promise((resolve) => {
    connection.addEventListener('message', ({ detail }) => {
      back += 1;
      if (Number(detail.id) !== back || detail.payload !== payload) wrong += 1;
      if (back === count) resolve(undefined);
    });
  });
  for (let number = 1; number <= count; number += 1) {
    for (;;) {
      const acked = once(connection, 'acked');
      try {
        connection.send({ id: String(number), payload });
        break;
      } catch (error) {
        if (!/buffer is full/.test(error.message)) throw error;
        await acked;
      }
    }
  }
  await done;
  connection.close();
  return { back, wrong, ms: performance.now() - begun };
}

/** A frame larger than the server accepts costs nothing but itself. */
async function oversized() {
  const connection = new Rejoin(url);
  await once(connection, 'open');
  let refused = null;
  try {
    connection.send({ payload: 'x'.repeat(100_000) });
  } catch ({ size, limit }) {
    refused = { size, limit };
  }
  const back = once(connection, 'message');
  const { number } = connection.send({ id: 'after' });
  const { detail } = await back;
  connection.close();
  return { refused, number, back: detail.id };
}

/** Resumes after its socket was cut in the middle of frames in both directions. */
async function cut(count, size) {
  const connection = new Rejoin(url);
  const work = [];
  const done = new Promise((resolve) => {
    connection.addEventListener('message', ({ detail }) => {
      work.push(Number(detail.id));
      if (work.length === count / 2) connection.cut();
      if (work.length === count) resolve(undefined);
    });
  });
  await once(connection, 'open');
  for (let number = 1; number <= count; number += 1) connection.send({ id: String(number), payload: 'x'.repeat(size) });
  await done;
  connection.close();
  return { inOrder: work.every((number, index) => number === index + 1), received: work.length };
}

/** Asks a slow source for each token. Returns what the server has seen: before its credentials expired, and afterwards. */
async function renewed() {
  let calls = 0;
  const token = async () => {
    await new Promise((resolve) => { setTimeout(resolve, 1); });
    calls += 1;
    return `tökèn ${calls} ~~~ ???`;
  };
  const connection = new Rejoin(url, { token });
  const seen = [];
  for (const type of ['open', 'restored']) {
    await once(connection, type);
    const message = once(connection, 'message');
    connection.send({ event: 'who' });
    seen.push((await message).detail.payload);
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
