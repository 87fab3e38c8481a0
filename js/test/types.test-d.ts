import { expectTypeOf, test } from 'vitest';
import { connect, type Message, type Session, type Status } from '../src/index.js';

interface In { say: { from: string; text: string }; people: string[] }
interface Out { say: { text: string }; typing: null; ping: undefined }
interface Questions {
  history: (query: { before?: number }) => string[];
  now: () => number;
}
const room = connect<In, Out, Questions>('wss://example.org/ws', { token: async ({ reason, signal }) => (signal.aborted ? '' : reason) });

test('what comes in', () => {
  room.on('say', ({ payload, number }) => {
    expectTypeOf(payload).toEqualTypeOf<{ from: string; text: string }>();
    expectTypeOf(number).toEqualTypeOf<number | undefined>();
  });
  room.on('*', (message) => {
    expectTypeOf(message.event).toEqualTypeOf<'say' | 'people'>();
    if (message.event === 'people') expectTypeOf(message.payload).toEqualTypeOf<string[]>();
  });
  room.on('$open', ({ session }) => expectTypeOf(session).toEqualTypeOf<Session>());
  room.on('$answer', (answer) => expectTypeOf(answer).toEqualTypeOf<Message>());
  // @ts-expect-error there is no such event
  room.on('said', () => {});
  expectTypeOf(room.frames()).toMatchTypeOf<AsyncIterable<Message<'say', In['say']> | Message<'people', string[]>>>();
});

test('what goes out', () => {
  room.send('say', { text: 'hi' }, { ttl: 5 });
  room.send('typing');
  room.send('typing', null, { volatile: true });
  room.send('ping');
  // @ts-expect-error a payload is missing
  room.send('say');
  // @ts-expect-error the payload has another type
  room.send('say', { text: 1 });
  // @ts-expect-error there is no such event
  room.send('said', { text: 'hi' });
  // @ts-expect-error there is no such option
  room.send('say', { text: 'hi' }, { tll: 5 });
});

test('questions', () => {
  expectTypeOf(room.ask('history', { before: 1 })).toEqualTypeOf<Promise<string[]>>();
  expectTypeOf(room.ask('now')).toEqualTypeOf<Promise<number>>();
  expectTypeOf(room.answers('now').next()).toEqualTypeOf<Promise<IteratorResult<number, undefined>>>();
  // @ts-expect-error the query has another type
  room.ask('history', { before: 'x' });
  // @ts-expect-error there is no such question
  room.ask('say');
  room.onAsk('say', (payload, { signal, message }) => {
    expectTypeOf(payload).toEqualTypeOf<In['say']>();
    expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    expectTypeOf(message.event).toEqualTypeOf<'say'>();
  });
});

test('without maps, names are free and payloads unknown', () => {
  const free = connect('wss://example.org/ws');
  free.on('anything', ({ payload }) => expectTypeOf(payload).toEqualTypeOf<unknown>());
  free.send('anything', 1);
  expectTypeOf(free.ask('anything', 1)).toEqualTypeOf<Promise<unknown>>();
  expectTypeOf(free.status).toEqualTypeOf<Status>();
});
