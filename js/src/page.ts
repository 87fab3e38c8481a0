/** What happens to a page, as far as a connection has to know. */
export interface PageLife {
  /** The page is shown again, or the network is back: the socket may be dead. */
  _wake(): void;
  /** The page goes to sleep or away: what the server and the storage should know, they must learn now. */
  _sleep(): void;
  /** The page was frozen or in the back/forward cache: its socket looks open and is dead. */
  _revive(): void;
  /** The page has been hidden for `closeAfter`. */
  _rest(): void;
}

/** Follows the page until the returned function is called. In Node and in workers there are only some of these events, or none. */
export function followPage(page: PageLife, closeAfter: number | undefined): () => void {
  let frozen = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const ends = new AbortController();
  const doc = typeof document === 'undefined' ? undefined : document;
  const listen = (target: typeof addEventListener | undefined, type: string, listener: (event: any) => void) => {
    target?.(type, listener, { signal: ends.signal });
  };
  const freeze = () => {
    frozen = true;
    page._sleep();
  };
  // Chromium reports `resume` before `pageshow`, Firefox only the latter: whichever comes first.
  const thaw = () => {
    if (frozen) page._revive();
    frozen = false;
  };
  const onWindow = typeof addEventListener === 'undefined' ? undefined : addEventListener;
  const onDocument = doc?.addEventListener.bind(doc);
  // Not `offline`: browsers report it while sockets live on.
  listen(onWindow, 'online', page._wake);
  listen(onWindow, 'pagehide', ({ persisted }) => (persisted ? freeze() : page._sleep()));
  listen(onWindow, 'pageshow', ({ persisted }) => persisted && thaw());
  listen(onDocument, 'freeze', freeze);
  listen(onDocument, 'resume', thaw);
  listen(onDocument, 'visibilitychange', () => {
    clearTimeout(timer);
    if (!doc!.hidden) return page._wake();
    page._sleep();
    if (closeAfter) timer = setTimeout(page._rest, closeAfter);
  });
  return () => {
    clearTimeout(timer);
    ends.abort();
  };
}
