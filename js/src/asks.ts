import type { Channel } from './channel.js';
import { report } from './emitter.js';
import { AskError, Lost } from './lost.js';
import type { SentFrame } from './sent.js';
import type { AskOptions, Message, SendOptions } from './types.js';

const TIMEOUT = 10_000;
/** The answers that are kept for a reader that lags behind. */
const ANSWERS = 64;

/** What questions and answers need of the connection. */
export interface AskHost {
  _send(event: string, payload: unknown, options: SendOptions): SentFrame;
  /** R11.7: takes the question back if it is still queued, or sends `$cancel`. */
  _cancel(id: string): void;
  _ready(): Promise<void>;
  _hears(event: string): boolean;
  /** A queue whose reader makes the server wait when it lags behind. */
  _channel<T>(limit: number, left: () => void): Channel<T>;
}

interface Asker {
  _take(payload: unknown, more?: boolean): void;
  _fail(error: unknown): void;
}

type Handler = (payload: any, context: { signal: AbortSignal; message: any }) => unknown;

export type Asks = ReturnType<typeof createAsks>;

/** Questions in both directions (PROTOCOL.md §11). */
export function createAsks(host: AskHost) {
  /** Our open questions by their `id`. */
  const askers = new Map<string, Asker>();
  const handlers = new Map<string, Handler>();
  /** The server's questions that handlers work on. */
  const running = new Map<string, AbortController>();
  // Distinguishes our questions from those of the page before a reload.
  const prefix = Math.random().toString(36).slice(2);
  let count = 0;

  /** Returns the function that cancels the question. */
  const open = (
    event: string, payload: unknown, { timeout = TIMEOUT, signal }: AskOptions = {},
    take: (payload: unknown, more?: boolean) => void, fail: (error: unknown) => void,
  ) => {
    const id = prefix + ++count;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let isSent = false;
    const wait = () => {
      clearTimeout(timer);
      if (timeout < 2 ** 31) timer = setTimeout(giveUp, timeout, new AskError('timeout'));
    };
    /** Returns false if the question has ended before. */
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      return askers.delete(id);
    };
    const failed = (error: unknown) => { if (end()) fail(error); };
    const giveUp = (error?: unknown) => {
      if (!askers.has(id)) return;
      if (isSent) host._cancel(id);
      failed(error);
    };
    const abort = () => giveUp(signal!.reason);
    askers.set(id, {
      _take(answer, more) {
        if (more) wait();
        else end();
        take(answer, more);
      },
      _fail: failed,
    });
    if (signal?.aborted) abort();
    else {
      signal?.addEventListener('abort', abort);
      wait();
      isSent = true;
      host._send(event, payload, { id }).acked.catch(failed);
    }
    return giveUp;
  };

  //= PROTOCOL.md#R11.8: MUST NOT send an answer to a question whose `$cancel` it has read
  const reply = (re: string, event: string, payload: unknown, more = false) => host._send(event, payload, { re, more });
  const fail = (re: string, code: string, message: string) => reply(re, 'error', { code, message });

  const answer = async (id: string, message: Message, handler: Handler) => {
    const cancelled = new AbortController();
    const { signal } = cancelled;
    running.set(id, cancelled);
    try {
      let result: any = await handler(message.payload, { signal, message });
      if (result?.[Symbol.asyncIterator]) {
        // One answer is held back, because the last one must be marked as the last (R11.4).
        let held: [unknown] | undefined;
        for await (const item of result) {
          await host._ready();
          if (signal.aborted) return; // ends the iterator
          if (held) reply(id, 'ok', held[0], true);
          held = [item];
        }
        result = held?.[0];
      }
      if (!signal.aborted) reply(id, 'ok', result);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof AskError) return void fail(id, error.code, error.message);
      report(error);
      fail(id, 'failed', 'handler failed');
    } finally {
      running.delete(id);
    }
  };

  return {
    _ask: (event: string, payload: unknown, options?: AskOptions) => new Promise((resolve, reject) => {
      const giveUp = open(event, payload, options, (result, more) => {
        resolve(result);
        if (more) giveUp();
      }, reject);
    }),

    _answers(event: string, payload: unknown, options?: AskOptions): Channel<unknown> {
      const channel = host._channel<unknown>(ANSWERS, () => giveUp());
      const giveUp = open(event, payload, options, (result, more) => {
        channel._push(result);
        if (!more) channel._end();
      }, channel._end);
      return channel;
    },

    /** Passes an answer to its asker. Returns false if there is none (R11.11). */
    _handleAnswer({ re, event, payload, more }: Message<string, any>): boolean {
      const asker = askers.get(re!);
      if (event === 'error') asker?._fail(new AskError(String(payload?.code), String(payload?.message)));
      else asker?._take(payload, more);
      return !!asker;
    },

    _handle(event: string, handler: Handler) {
      handlers.set(event, handler);
      return () => { if (handlers.get(event) === handler) handlers.delete(event); };
    },

    /** Returns false for a frame that is no question to a handler: an ordinary message. */
    _handleQuestion(message: Message): boolean {
      const { id, event } = message;
      const handler = handlers.get(event);
      if (!id || (!handler && (!handlers.size || host._hears(event)))) return false;
      if (handler) void answer(id, message, handler);
      //= PROTOCOL.md#R11.5: SHOULD answer a question with an event that it does not know with the code `unknown_event`
      else fail(id, 'unknown_event', event);
      return true;
    },

    _handleCancel: (id: string) => running.get(id)?.abort(),

    //= PROTOCOL.md#R11.6: MUST report to the asker that no more answers come when the session has ended or is lost
    _end(reason: 'closed' | 'session ended') {
      for (const asker of [...askers.values()]) asker._fail(new Lost(reason));
      for (const cancelled of running.values()) cancelled.abort();
    },
  };
}
