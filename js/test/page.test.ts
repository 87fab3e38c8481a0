import { beforeEach, describe, expect, test, vi } from 'vitest';
import { FakeSocket, opened } from './world.js';

/** A window and its document. */
let page: { show(): void; hide(): void; online(): void; freeze(): void; resume(): void; pagehide(persisted: boolean): void; pageshow(persisted: boolean): void };

beforeEach(() => {
  const window = new EventTarget();
  const document = Object.assign(new EventTarget(), { hidden: false });
  vi.stubGlobal('document', document);
  vi.stubGlobal('addEventListener', window.addEventListener.bind(window));
  const change = (hidden: boolean) => {
    document.hidden = hidden;
    document.dispatchEvent(new Event('visibilitychange'));
  };
  page = {
    show: () => change(false),
    hide: () => change(true),
    online: () => { window.dispatchEvent(new Event('online')); },
    freeze: () => { document.dispatchEvent(new Event('freeze')); },
    resume: () => { document.dispatchEvent(new Event('resume')); },
    pagehide: (persisted) => { window.dispatchEvent(Object.assign(new Event('pagehide'), { persisted })); },
    pageshow: (persisted) => { window.dispatchEvent(Object.assign(new Event('pageshow'), { persisted })); },
  };
});

const dials = () => FakeSocket.all.length;

describe('the back/forward cache', () => {
  test('in Chromium: one dial at once, though the socket looks open', () => {
    opened();
    page.pagehide(true);
    page.freeze();
    page.resume();
    expect(dials()).toBe(2);
    page.show();
    page.pageshow(true);
    expect(dials()).toBe(2);
    expect(FakeSocket.all[0]!.closed).toBe(4001);
    expect(FakeSocket.last.offers[1]).toBe('rejoin.resume.tokentokentokentoken-1.0');
  });

  test('a page that thaws while it is hidden dials too', () => {
    opened();
    page.hide();
    page.freeze();
    page.resume();
    expect(dials()).toBe(2);
  });

  test('in Firefox: the socket has ended before', () => {
    opened();
    page.pagehide(true);
    FakeSocket.last.end(1001);
    page.pageshow(true);
    expect(dials()).toBe(2);
  });

  test('the late close of the old socket changes nothing', () => {
    const room = opened();
    page.pagehide(true);
    page.pageshow(true);
    FakeSocket.all[0]!.end(1006);
    FakeSocket.last.open({ resumed: true });
    expect(room.status.state).toBe('open');
    expect(dials()).toBe(2);
  });

  test('a first load is not a return', () => {
    opened();
    page.pageshow(false);
    page.resume();
    expect(dials()).toBe(1);
  });

  test('what has arrived is acknowledged before the page sleeps', () => {
    opened();
    FakeSocket.last.receive({ event: 'say' });
    page.freeze();
    expect(FakeSocket.last.written).toEqual([{ event: '$ack', payload: 1 }]);
  });
});

test('a navigation that does not happen is resumed', async () => {
  const room = opened();
  const lost = vi.fn();
  room.on('$lost', lost);
  page.pagehide(false);
  FakeSocket.last.end(1001); // Firefox, at a download
  await vi.advanceTimersByTimeAsync(500);
  FakeSocket.last.open({ resumed: true });
  expect(room.status.state).toBe('open');
  expect(lost).not.toHaveBeenCalled();
});

describe('a hidden page', () => {
  test('keeps its socket by default', async () => {
    opened();
    page.hide();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(FakeSocket.last.closed).toBeUndefined();
  });

  test('lets go of it after closeAfter, and resumes when it is shown', async () => {
    const room = opened({ hidden: { closeAfter: 5000 } });
    page.hide();
    await vi.advanceTimersByTimeAsync(4999);
    expect(FakeSocket.last.closed).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(FakeSocket.last.closed).toBe(4001);
    expect(room.send('say').state).toBe('queued');
    page.online();
    await vi.advanceTimersByTimeAsync(600_000);
    expect(dials()).toBe(1);
    page.show();
    expect(dials()).toBe(2);
  });

  test('that is shown dials at once, whatever an earlier socket was told', async () => {
    opened({ hidden: { closeAfter: 5000 } });
    FakeSocket.last.end(1012, 'retry in 0 ms');
    await vi.advanceTimersByTimeAsync(500);
    FakeSocket.last.open({ resumed: true });
    page.hide();
    await vi.advanceTimersByTimeAsync(5000);
    expect(dials()).toBe(2);
    page.show();
    expect(dials()).toBe(3);
  });

  test('that is shown before keeps it', async () => {
    opened({ hidden: { closeAfter: 5000 } });
    page.hide();
    page.show();
    expect(FakeSocket.last.written).toEqual([{ event: '$ping', payload: 0 }]);
    FakeSocket.last.receive({ event: '$pong', payload: 0 });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(dials()).toBe(1);
  });
});

test('a page that is shown asks whether its socket lives, for five seconds', async () => {
  opened();
  page.hide();
  page.show();
  await vi.advanceTimersByTimeAsync(5000);
  expect(FakeSocket.all[0]!.closed).toBe(4002);
});

test('online ends a wait', () => {
  opened();
  FakeSocket.last.end(1006);
  expect(dials()).toBe(1);
  page.online();
  expect(dials()).toBe(2);
});

describe('nothing revives', () => {
  const everything = async () => {
    page.pagehide(true);
    page.freeze();
    page.resume();
    page.pageshow(true);
    page.hide();
    page.show();
    page.online();
    await vi.advanceTimersByTimeAsync(3_600_000);
  };

  test('a closed connection', async () => {
    const room = opened({ hidden: { closeAfter: 1 } });
    room.close();
    await everything();
    room.retry();
    await everything();
    expect(dials()).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('a suspended one, until retry', async () => {
    const room = opened();
    room.suspend();
    expect(room.status.state).toBe('suspended');
    expect(FakeSocket.last.closed).toBe(4001);
    await everything();
    expect(dials()).toBe(1);
    room.retry();
    expect(dials()).toBe(2);
    FakeSocket.last.open({ resumed: true });
    expect(room.status.state).toBe('open');
  });
});

test('retry works after the server has ended the connection', () => {
  const room = opened();
  FakeSocket.last.end(1000, 'kicked');
  expect(room.status.state).toBe('closed');
  room.retry();
  expect(room.status.state).toBe('connecting');
  FakeSocket.last.open();
  expect(room.status.state).toBe('open');
  page.freeze();
  page.resume();
  expect(dials()).toBe(3);
});
