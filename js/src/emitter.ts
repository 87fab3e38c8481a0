type Listener = (detail: any) => void;

/** Calls listeners. What a listener causes is dispatched after all earlier events have reached all listeners. */
export class Emitter {
  #listeners = new Map<string, Set<Listener>>();
  #queue: [name: string, detail: unknown][] = [];

  _on(name: string, listener: Listener): () => void {
    const own: Listener = (detail) => listener(detail); // the same function may listen twice
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(own));
    return () => { all.delete(own); };
  }

  _hears(name: string): boolean {
    return Boolean(this.#listeners.get(name)?.size);
  }

  /** Call it last: a listener may call any method. */
  _emit(...events: (readonly [name: string, detail: unknown] | false | 0 | undefined)[]): void {
    const inListener = this.#queue.length > 0; // the loop below, further up the stack, dispatches them
    for (const event of events) if (event) this.#queue.push([...event]);
    if (inListener) return;
    for (; this.#queue.length; this.#queue.shift()) {
      const [name, detail] = this.#queue[0]!;
      this.#call(name, detail);
      if (name[0] !== '$') this.#call('*', detail);
    }
  }

  #call(name: string, detail: unknown): void {
    for (const listener of [...this.#listeners.get(name) ?? []]) {
      try { listener(detail); } catch (error) { report(error); }
    }
  }
}

/** An error in the application's code is the application's: it must not stop the connection. */
export function report(error: unknown): void {
  queueMicrotask(() => { throw error; });
}
