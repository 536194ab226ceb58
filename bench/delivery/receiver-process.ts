import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Arrived, ReceiverMessage } from './receiver.ts';

/** The process of {@link startReceiver}: a server that answers 204, one that answers nothing, and a port without one. */

const ANSWER = Buffer.from('HTTP/1.1 204 No Content\r\n\r\n');
const END_OF_HEAD = '\r\n\r\n';
const LENGTH = 'content-length: ';
const KEY = '\r\nidempotency-key: ';

let keys = new Map<string, number>();
let bodyBytes = 0;

const answering = createServer({ noDelay: true }, (socket) => {
  let rest: Buffer | undefined;
  socket.on('data', (chunk) => {
    const taken = take(rest === undefined ? chunk : Buffer.concat([rest, chunk]), socket);
    rest = taken;
  });
  socket.on('error', () => undefined);
});
const silent = createServer((socket) => {
  socket.resume();
  socket.on('error', () => undefined);
});

/** Counts and answers the requests that are there whole; what is left over belongs to the next one. */
function take(received: Buffer, socket: Socket): Buffer | undefined {
  let at = 0;
  for (;;) {
    const headEnd = received.indexOf(END_OF_HEAD, at, 'latin1');
    if (headEnd < 0) break;
    const bytes = Number.parseInt(textAfter(received, LENGTH, at), 10);
    const next = headEnd + END_OF_HEAD.length + bytes;
    if (next > received.length) break;
    const key = textAfter(received, KEY, at);
    keys.set(key, (keys.get(key) ?? 0) + 1);
    bodyBytes += bytes;
    at = next;
    socket.write(ANSWER);
  }
  return at === received.length ? undefined : received.subarray(at);
}

/** A text of its own: a part of a longer one would keep all of that. */
function textAfter(received: Buffer, name: string, from: number): string {
  const start = received.indexOf(name, from, 'latin1') + name.length;
  return received.toString('latin1', start, received.indexOf('\r', start, 'latin1'));
}

async function urlOf(server: Server): Promise<string> {
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
}

const urls = { answering: await urlOf(answering), silent: await urlOf(silent) };
// Our own end of a connection holds a port on which nobody listens.
const held = connect(Number(new URL(urls.silent).port), '127.0.0.1');
await once(held, 'connect');
const message: ReceiverMessage = {
  urls: { ...urls, refusing: `http://127.0.0.1:${held.localPort}/events` },
};
process.send?.(message);
process.on('message', () => {
  let requests = 0;
  for (const times of keys.values()) requests += times;
  const arrived: Arrived = { requests, keys: keys.size, bodyBytes };
  keys = new Map();
  bodyBytes = 0;
  process.send?.({ arrived } satisfies ReceiverMessage);
});
process.once('disconnect', () => process.exit());
