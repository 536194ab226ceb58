import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One request that arrived whole. */
export interface Received {
  /** Idempotency key. */
  readonly key: string;
  readonly body: Buffer;
  readonly headers: IncomingMessage['headers'];
}

/** How a request is answered; resolves with the status. It may answer by itself and resolve with null. */
export type Answer = (received: Received, response: ServerResponse) => Promise<number | null> | number | null;

/** A real HTTP server that keeps a ledger of what arrived. */
export interface Receiver {
  readonly url: string;
  /** Everything that arrived whole, in order. */
  readonly ledger: readonly Received[];
  /** Requests that are not answered yet. */
  readonly open: number;
  /** The most that were open at once. */
  readonly mostOpen: number;
  answer: Answer;
  /** How often each key arrived. */
  keys(): ReadonlyMap<string, number>;
  close(): Promise<void>;
}

export async function startReceiver(answer: Answer = () => 200): Promise<Receiver> {
  const ledger: Received[] = [];
  let open = 0;
  let mostOpen = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      const key = String(request.headers['idempotency-key']);
      const received = { key, body: Buffer.concat(chunks), headers: request.headers };
      ledger.push(received);
      open += 1;
      mostOpen = Math.max(mostOpen, open);
      response.once('close', () => {
        open -= 1;
      });
      const status = await receiver.answer(received, response);
      if (status !== null) response.writeHead(status, { 'content-type': 'text/plain' }).end('answered');
    });
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    url: `http://127.0.0.1:${port}/events`,
    ledger,
    get open() {
      return open;
    },
    get mostOpen() {
      return mostOpen;
    },
    answer,
    keys() {
      const counts = new Map<string, number>();
      for (const { key } of ledger) counts.set(key, (counts.get(key) ?? 0) + 1);
      return counts;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}

/** Answers nothing until it is opened; then everything that waits, and what comes after it. */
export function gateAnswer(status = 200): { readonly answer: Answer; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { answer: () => opened.then(() => status), open: () => open() };
}
