import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** What a receiver got, whole. */
export interface Received {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** Address of this machine the request came in at. */
  readonly at: string | undefined;
}

/** A real server on a free port of every loopback address; it ends with the test. */
export interface Receiver {
  readonly port: number;
  readonly requests: Received[];
  /** Connections accepted so far. */
  connections(): number;
  /** Connections open now. */
  open(): number;
  stop(): Promise<void>;
}

export interface ReceiverOptions {
  readonly answer?: (response: ServerResponse, request: Received) => void;
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly host?: string;
}

/** Speaks HTTP, over TLS where it is given a certificate; answers 200 `{}` unless told otherwise. */
export function startReceiver({ answer, tls, host }: ReceiverOptions = {}): Promise<Receiver> {
  const requests: Received[] = [];
  const respond = answer ?? ((response: ServerResponse) => void response.end('{}'));
  const listener = (message: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    message.on('data', (chunk: Buffer) => chunks.push(chunk));
    message.on('end', () => {
      const { url = '', headers, socket } = message;
      const received = { path: url, headers, body: Buffer.concat(chunks), at: socket.localAddress };
      requests.push(received);
      respond(response, received);
    });
    response.on('error', () => undefined);
  };
  return listen(
    tls === undefined ? createHttpServer(listener) : createHttpsServer(tls, listener),
    requests,
    host,
  );
}

/** Speaks whatever the test says, byte by byte; `requests` stays empty. */
export function startTcpReceiver(talk: (socket: Socket) => void): Promise<Receiver> {
  return listen(createTcpServer(talk), []);
}

async function listen(server: Server, requests: Received[], host = '0.0.0.0'): Promise<Receiver> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on('tlsClientError', () => undefined);
  server.on('connection', (socket: Socket) => {
    accepted += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  onTestFinished(stop);
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    connections: () => accepted,
    open: () => sockets.size,
    stop,
  };
}
