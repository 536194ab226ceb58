import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** A request as a receiver got it. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turn, as they came over the wire. */
  readonly rawHeaders: readonly string[];
  readonly body: Buffer;
}

/** What a receiver answers; nothing said is 200 without a body. */
export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface Receiver {
  readonly url: string;
  readonly received: readonly Received[];
}

/** Handles requests with `reply`, and keeps them in `received`. */
export function recording(received: Received[], reply: (request: Received) => Reply): RequestListener {
  return async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(Buffer.from(chunk));
    const { method = '', url = '', headers, rawHeaders } = request;
    const got = { method, path: url, headers, rawHeaders, body: Buffer.concat(chunks) };
    received.push(got);
    const { status = 200, headers: answerHeaders = {}, body = '' } = reply(got);
    response.writeHead(status, { ...answerHeaders }).end(body);
  };
}

/** An HTTP server on this machine that lasts for the test. */
export async function receiver(reply: (request: Received) => Reply = () => ({})): Promise<Receiver> {
  const received: Received[] = [];
  const server = createServer(recording(received, reply));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

/** The one that came. */
export function only<Item>(received: readonly Item[]): Item {
  const [first, ...others] = received;
  if (first === undefined || others.length > 0) throw new Error(`${received.length} came, not one`);
  return first;
}
