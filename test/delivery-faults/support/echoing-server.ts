import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { embeddingOf } from '../../delivery-support/embedding-server.ts';

export interface Heard {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A server for hooks, flows and embeddings at once, which repeats what it was told wherever an answer has room. */
export interface EchoingServer {
  readonly url: string;
  readonly heard: readonly Heard[];
  close(): Promise<void>;
}

/**
 * The last letters of a path, or of the text to embed, say how it answers: `…ok` well, `…401` and `…500` with that status,
 * `…cut` with half an answer.
 */
export async function startEchoingServer(dimensions: number): Promise<EchoingServer> {
  const heard: Heard[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks).toString('utf8');
    const { url: path = '', headers } = request;
    heard.push({ path, headers, body });
    const text = path.endsWith('/embeddings') ? String(JSON.parse(body).input) : path;
    const status = Number(/(?:401|500)$/.exec(text)?.[0] ?? 200);
    const echo = JSON.stringify(headers);
    if (text.endsWith('cut')) {
      response
        .writeHead(200, { 'content-length': '5000' })
        .write(echo, () => response.socket?.resetAndDestroy());
    } else if (status === 200 && path.endsWith('/embeddings')) {
      response.end(JSON.stringify({ data: [{ index: 0, embedding: embeddingOf(text, dimensions) }] }));
    } else {
      const said = String(headers.authorization ?? headers['webhook-signature'] ?? 'nothing');
      response.writeHead(status, said, { 'www-authenticate': said, 'content-type': 'text/plain' });
      response.end(`You said ${said} with ${echo}`);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
