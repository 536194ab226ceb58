import { connect, createServer, type Server, type Socket } from 'node:net';

/** What becomes of a piece of data: it passes, or the connection is cut instead of, or right after, its delivery. */
export type Fate = 'pass' | 'cut' | 'deliver and cut';

export interface TcpProxy {
  /** The given URL, through the proxy. */
  url(direct: string): string;
  /** Cuts every connection and refuses new ones. */
  refuse(): Promise<void>;
  /** Listens again on the same port. */
  accept(): Promise<void>;
  /** Decides on data that goes to the server. With `deliver and cut` the server gets it and its answer is lost. */
  onRequest: (data: Buffer) => Fate;
  close(): Promise<void>;
}

/** A door on 127.0.0.1 in front of a server, which a test can shut and open. */
export async function startTcpProxy(direct: string): Promise<TcpProxy> {
  const target = new URL(direct);
  const open = new Set<Socket>();
  let server: Server | undefined;
  let port = 0;
  const proxy: TcpProxy = {
    url(url) {
      const through = new URL(url);
      through.host = `127.0.0.1:${port}`;
      return through.href;
    },
    async refuse() {
      const closing = server;
      server = undefined;
      for (const socket of open) socket.destroy();
      if (closing !== undefined) await new Promise((resolve) => closing.close(resolve));
    },
    async accept() {
      const opened = createServer(serve);
      await new Promise<void>((resolve, reject) =>
        opened.once('error', reject).listen(port, '127.0.0.1', resolve),
      );
      const address = opened.address();
      if (typeof address === 'object' && address !== null) port = address.port;
      server = opened;
    },
    onRequest: () => 'pass',
    close: () => proxy.refuse(),
  };
  function serve(client: Socket): void {
    const upstream = connect(Number(target.port), target.hostname);
    let isCut = false;
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(one);
      one
        .on('error', () => undefined)
        .once('close', () => {
          open.delete(one);
          other.destroy();
        });
    }
    client.on('data', (data: Buffer) => {
      const fate = proxy.onRequest(data);
      if (fate === 'cut') client.destroy();
      else if (fate === 'pass') upstream.write(data);
      else {
        isCut = true;
        upstream.write(data);
      }
    });
    upstream.on('data', (data: Buffer) => (isCut ? client.destroy() : client.write(data)));
  }
  await proxy.accept();
  return proxy;
}
