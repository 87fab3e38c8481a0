import { Channel } from './channel.js';
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
  _cancel(id: string, sent: SentFrame): void;
  _ready(): Promise<void>;
  _hears(event: string): boolean;
  _addReader(reader: Channel<any>): void;
  _removeReader(reader: Channel<any>): void;
  _drain(): void;
}

interface Asker {
  _take(payload: unknown, more: boolean): void;
  _fail(error: unknown): void;
}

type Handler = (payload: any, context: { signal: AbortSignal; message: any }) => unknown;

/** Questions in both directions (PROTOCOL.md §11). */
export class Asks {
  /** Our open questions by their `id`. */
  #askers = new Map<string, Asker>();
  #handlers = new Map<string, Handler>();
  /** The server's questions that handlers work on. */
  #running = new Map<string, AbortController>();
  /** Distinguishes our questions from those of the page before a reload. */
  #prefix = Math.random().toString(36).slice(2);
  #count = 0;

  constructor(readonly _host: AskHost) {}

  _ask(event: string, payload: unknown, options?: AskOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const giveUp = this.#open(event, payload, options, (answer, more) => {
        resolve(answer);
        if (more) giveUp();
      }, reject);
    });
  }

  _answers(event: string, payload: unknown, options?: AskOptions): Channel<unknown> {
    const host = this._host;
    const end = (error?: unknown) => {
      host._removeReader(channel);
      channel._end(error);
    };
    const channel: Channel<unknown> = new Channel(ANSWERS, () => host._drain(), () => {
      giveUp();
      end();
    });
    host._addReader(channel);
    const giveUp = this.#open(event, payload, options, (answer, more) => {
      channel._push(answer);
      if (!more) end();
    }, end);
    return channel;
  }

  /** Returns the function that gives the question up. */
  #open(
    event: string, payload: unknown, { timeout = TIMEOUT, signal }: AskOptions = {},
    take: (payload: unknown, more: boolean) => void, fail: (error: unknown) => void,
  ): () => void {
    if (signal?.aborted) {
      fail(signal.reason);
      return () => {};
    }
    const id = this.#prefix + ++this.#count;
    const sent = this._host._send(event, payload, { id });
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = () => {
      clearTimeout(timer);
      if (timeout < 2 ** 31) timer = setTimeout(() => giveUp(new AskError('timeout')), timeout);
    };
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      return this.#askers.delete(id);
    };
    const failed = (error: unknown) => { if (end()) fail(error); };
    const giveUp = (error?: unknown) => {
      if (!end()) return;
      this._host._cancel(id, sent);
      fail(error);
    };
    const abort = () => giveUp(signal!.reason);
    this.#askers.set(id, {
      _take: (answer, more) => {
        if (more) wait();
        else end();
        take(answer, more);
      },
      _fail: failed,
    });
    signal?.addEventListener('abort', abort);
    wait();
    sent.acked.catch(failed);
    return () => giveUp();
  }

  /** Passes an answer to its asker. Returns false if there is none (R11.11). */
  _handleAnswer({ re, event, payload, more = false }: Message<string, any>): boolean {
    const asker = this.#askers.get(re!);
    if (!asker) return false;
    if (event === 'error') asker._fail(new AskError(String(payload?.code), String(payload?.message)));
    else asker._take(payload, more);
    return true;
  }

  _handle(event: string, handler: Handler): () => void {
    this.#handlers.set(event, handler);
    return () => { if (this.#handlers.get(event) === handler) this.#handlers.delete(event); };
  }

  /** Returns false for a frame that is no question to a handler: an ordinary message. */
  _handleQuestion(message: Message): boolean {
    const { id, event } = message;
    if (id === undefined) return false;
    const handler = this.#handlers.get(event);
    if (handler) {
      void this.#answer(id, message, handler);
      return true;
    }
    if (this.#handlers.size === 0 || this._host._hears(event)) return false;
    //= PROTOCOL.md#R11.5: SHOULD answer a question with an event that it does not know with the code `unknown_event`
    this.#reply(id, 'error', { code: 'unknown_event', message: `no handler for ${event}` });
    return true;
  }

  async #answer(id: string, message: Message, handler: Handler): Promise<void> {
    const cancelled = new AbortController();
    const { signal } = cancelled;
    this.#running.set(id, cancelled);
    try {
      const result: any = await handler(message.payload, { signal, message });
      if (typeof result?.[Symbol.asyncIterator] !== 'function') return this.#reply(id, 'ok', result, signal);
      // One answer is held back, because the last one must say that it is the last (R11.4).
      let held: unknown[] = [];
      for await (const item of result) {
        if (signal.aborted) return; // ends the iterator
        await this._host._ready();
        for (const answer of held) this.#reply(id, 'ok', answer, signal, true);
        held = [item];
      }
      this.#reply(id, 'ok', held[0], signal);
    } catch (error) {
      if (signal.aborted) return;
      const known = error instanceof AskError;
      if (!known) report(error);
      this.#reply(id, 'error', known ? { code: error.code, message: error.message } : { code: 'failed', message: 'the handler failed' }, signal);
    } finally {
      if (this.#running.get(id) === cancelled) this.#running.delete(id);
    }
  }

  //= PROTOCOL.md#R11.8: MUST NOT send an answer to a question whose `$cancel` it has read
  #reply(re: string, event: string, payload: unknown, signal?: AbortSignal, more = false): void {
    if (!signal?.aborted) this._host._send(event, payload, { re, more });
  }

  _handleCancel(id: unknown): void {
    if (typeof id === 'string') this.#running.get(id)?.abort();
  }

  //= PROTOCOL.md#R11.6: MUST report to the asker that no more answers come when the session has ended or is lost
  _end(reason: 'closed' | 'session ended'): void {
    for (const asker of [...this.#askers.values()]) asker._fail(new Lost(reason));
    for (const running of this.#running.values()) running.abort();
    this.#running.clear();
  }
}
