import { createHash } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { waitFor } from '../../support/wait-for.ts';

/** What every route of these tests signs with, where it signs. */
export const SIGNING_SECRET = `whsec_${Buffer.from('a secret of the tests of faults!').toString('base64')}`;

/** One request that arrived whole, in the order of arrival. */
export interface Entry {
  /** Last part of the path. */
  readonly route: string;
  /** Idempotency key. */
  readonly key: string;
  /** Event that its body is about; empty where the body is no event. */
  readonly eventId: string;
  readonly bodySha256: string;
  readonly signature: 'valid' | 'invalid' | 'absent';
  /** The key had not been seen: this is when the receiver acts. */
  readonly hasEffect: boolean;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** A request to be answered; its headers and body are as they arrived. */
export interface Exchange {
  readonly entry: Entry;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  readonly response: ServerResponse;
}

/** Answers by itself, or leaves it to the number that it returns: a status. */
export type Answer = (exchange: Exchange) => number | undefined | Promise<number | undefined>;

/** A server of HTTP that acts once on each idempotency key, and keeps a ledger of all that arrived. */
export interface Ledger {
  /** Where a route delivers to. */
  url(route: string): string;
  readonly port: number;
  readonly entries: readonly Entry[];
  of(route: string): readonly Entry[];
  /** Requests that are not answered yet. */
  readonly open: number;
  /** How a route is answered from now on; 200 at first. */
  answer(route: string, answer: Answer): void;
  /** Waits until so many requests of a route, or of all, have arrived. */
  until(entries: number, route?: string): Promise<void>;
  close(): Promise<void>;
}

export interface LedgerOptions {
  readonly answer?: Answer;
  /** Speaks TLS with this certificate. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

export async function startLedger({
  answer: byDefault = () => 200,
  tls,
}: LedgerOptions = {}): Promise<Ledger> {
  const webhook = new Webhook(SIGNING_SECRET);
  const entries: Entry[] = [];
  const keys = new Set<string>();
  let open = 0;
  const answers = new Map<string, Answer>();
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', async () => {
      const body = Buffer.concat(chunks);
      const { headers } = request;
      const route = request.url?.split('/').at(-1) ?? '';
      const key = String(headers['idempotency-key'] ?? '');
      const entry: Entry = {
        route,
        key,
        eventId: eventOf(body),
        bodySha256: createHash('sha256').update(body).digest('hex'),
        signature: signatureOf(webhook, headers, body),
        hasEffect: !keys.has(key),
        at: Date.now(),
      };
      keys.add(key);
      entries.push(entry);
      open += 1;
      response.once('close', () => {
        open -= 1;
      });
      const status = await (answers.get(route) ?? byDefault)({ entry, headers, body, response });
      if (status !== undefined && !response.destroyed) response.writeHead(status).end();
    });
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  server.keepAliveTimeout = 600_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const of = (route: string) => entries.filter((entry) => entry.route === route);
  return {
    url: (route) => `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}/${route}`,
    port,
    entries,
    of,
    get open() {
      return open;
    },
    answer: (route, answer) => void answers.set(route, answer),
    async until(count, route) {
      await waitFor(async () => (route === undefined ? entries : of(route)).length >= count, 60_000);
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Keeps answers back until it is opened with a status. */
export function turnstile(): { readonly answer: Answer; open(status: number): void } {
  let open: (status: number) => void = () => undefined;
  const opened = new Promise<number>((resolve) => {
    open = resolve;
  });
  return { answer: () => opened, open: (status) => open(status) };
}

function eventOf(body: Buffer): string {
  try {
    const { id } = JSON.parse(body.toString('utf8')) as { id?: unknown };
    return typeof id === 'string' ? id : '';
  } catch {
    return '';
  }
}

function signatureOf(webhook: Webhook, headers: IncomingHttpHeaders, body: Buffer): Entry['signature'] {
  if (headers['webhook-signature'] === undefined) return 'absent';
  try {
    webhook.verify(body.toString('utf8'), headers as Record<string, string>);
    return 'valid';
  } catch {
    return 'invalid';
  }
}
