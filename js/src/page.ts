/** The events of a page that affect a connection. */
export interface PageLife {
  /** The page is shown again, or the network is back: the socket may be dead. */
  _wake(): void;
  /** The page is about to sleep or to unload: the last moment to report to the server and to save. */
  _sleep(): void;
  /** The page was frozen or in the back/forward cache: its socket looks open and is dead. */
  _revive(): void;
  /** The page has been hidden for `closeAfter`. */
  _rest(): void;
}

/** Follows the page's events until the returned function is called. Node and workers have few of them, or none. */
export function followPage(page: PageLife, closeAfter: number | undefined): () => void {
  const { document } = globalThis;
  const ends = new AbortController();
  let frozen = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const listen = (target: Partial<EventTarget> | undefined, listeners: Record<string, (event: any) => void>) => {
    for (const type in listeners) target?.addEventListener?.(type, listeners[type]!, ends);
  };
  const freeze = () => {
    frozen = true;
    page._sleep();
  };
  // Chromium reports `resume` before `pageshow`, Firefox only the latter: whichever comes first.
  const resume = () => {
    if (frozen) page._revive();
    frozen = false;
  };
  listen(globalThis, { // not `offline`: browsers report it while sockets live on
    online: page._wake,
    pagehide: ({ persisted }) => (persisted ? freeze() : page._sleep()),
    pageshow: ({ persisted }) => persisted && resume(),
  });
  listen(document, {
    freeze,
    resume,
    visibilitychange() {
      clearTimeout(timer);
      if (!document.hidden) return page._wake();
      page._sleep();
      if (closeAfter) timer = setTimeout(page._rest, closeAfter);
    },
  });
  return () => {
    clearTimeout(timer);
    ends.abort();
  };
}
