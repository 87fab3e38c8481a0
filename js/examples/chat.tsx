/** A chat as a React component: messages with their fate, who is writing, and the state of the connection. */
import { useState, type FormEvent } from 'react';
import type { Sent } from 'rejoin';
import { useFrames, useRoom, useStatus } from 'rejoin/react';

type In = { said: { from: string; text: string } };
type Out = { say: { text: string } };

export function Chat({ url }: { url: string }) {
  const room = useRoom<In, Out>(url, { keep: 'reload' });
  const status = useStatus(room);
  const said = useFrames(room, 'said', 200);
  const [waiting, setWaiting] = useState<Sent[]>([]);
  const [text, setText] = useState('');

  const say = (event: FormEvent) => {
    event.preventDefault();
    const sent = room?.send('say', { text });
    if (!sent || sent.error) return; // full: the text stays in the field
    setText('');
    setWaiting((others) => [...others, sent]);
    const settle = () => setWaiting((others) => others.filter((other) => other !== sent || sent.state === 'lost'));
    sent.acked.then(settle, settle);
  };

  return <>
    <p role="status">{status?.state === 'open' ? 'connected' : `${status?.state ?? 'connecting'}…`}</p>
    <ol>
      {said.map(({ number, payload }) => <li key={number}><b>{payload.from}</b> {payload.text}</li>)}
      {waiting.map((sent, index) => <li key={`waiting ${index}`}>{(sent.frame.payload as Out['say']).text} ({sent.state})</li>)}
    </ol>
    <form onSubmit={say}>
      <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} />
    </form>
  </>;
}
