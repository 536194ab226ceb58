import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request that arrived whole. */
export interface Arrival {
  readonly route: string;
  readonly key: string;
  /** Event that its body is about. */
  readonly eventId: string;
  readonly bodySha256: string;
  readonly status: number;
  /** It was answered 2xx, and its key had not been acted on: this is when the receiver acts. */
  readonly isAct: boolean;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface ChaosReceiver {
  url(route: string): string;
  readonly arrivals: readonly Arrival[];
  /** How requests are answered from now on, by route and the number in the event's payload. */
  answer: (route: string, n: number) => number;
  close(): Promise<void>;
}

/** How long a request is under way, in milliseconds: long enough that some are when a worker dies. */
const TAKES_MS = 10;

/** An HTTP server that acts once on each idempotency key, and keeps a ledger of all that arrived. */
export async function startChaosReceiver(): Promise<ChaosReceiver> {
  const arrivals: Arrival[] = [];
  const acted = new Set<string>();
  const server = createServer((request, response) => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks);
      const route = request.url?.split('/').at(-1) ?? '';
      const key = String(request.headers['idempotency-key'] ?? '');
      const { id, data } = JSON.parse(body.toString('utf8')) as { id: string; data: { n: number } };
      const status = receiver.answer(route, data.n);
      const isAct = status < 300 && !acted.has(key);
      if (isAct) acted.add(key);
      const bodySha256 = createHash('sha256').update(body).digest('hex');
      arrivals.push({ route, key, eventId: id, bodySha256, status, isAct, at: Date.now() });
      setTimeout(() => {
        if (!response.destroyed) response.writeHead(status).end();
      }, TAKES_MS);
    });
  });
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: ChaosReceiver = {
    url: (route) => `http://127.0.0.1:${port}/${route}`,
    arrivals,
    answer: () => 200,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return receiver;
}
