type Listener = (detail: any) => void;
/** A name and what its listeners get, or nothing to report. */
export type Emitted = readonly [name: string, detail: unknown] | false | undefined;

export type Emitter = ReturnType<typeof createEmitter>;

/** Calls listeners. Events that a listener causes are dispatched after all earlier events have reached all listeners. */
export function createEmitter() {
  const listeners = new Map<string, Set<[Listener]>>();
  const queue: (readonly [name: string, detail: unknown])[] = [];
  const call = (name: string, detail: unknown) => {
    for (const [listener] of [...listeners.get(name) ?? []]) {
      try { listener(detail); } catch (error) { report(error); }
    }
  };
  return {
    _on(name: string, listener: Listener): () => void {
      const own: [Listener] = [listener]; // the same function may listen twice
      const all = listeners.get(name) ?? new Set();
      listeners.set(name, all.add(own));
      return () => { all.delete(own); };
    },
    _hears: (name: string) => !!listeners.get(name)?.size,
    /** Call it last: a listener may call any method. */
    _emit(...events: Emitted[]) {
      const inListener = queue.length; // the loop below, further up the stack, dispatches them
      for (const event of events) if (event) queue.push(event);
      if (inListener) return;
      for (; queue.length; queue.shift()) {
        const [name, detail] = queue[0]!;
        call(name, detail);
        if (name[0] !== '$') call('*', detail);
      }
    },
  };
}

/** An error in the application's code is the application's: it must not stop the connection. */
export function report(error: unknown): void {
  queueMicrotask(() => { throw error; });
}
