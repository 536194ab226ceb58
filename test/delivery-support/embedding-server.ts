import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface EmbeddingCall {
  readonly headers: IncomingMessage['headers'];
  readonly body: { readonly model: string; readonly input: string; readonly dimensions: number };
}

/** An endpoint that answers as OpenAI's embeddings do. */
export interface EmbeddingServer {
  readonly url: string;
  readonly calls: EmbeddingCall[];
  /** Answers instead, when it is set. */
  answer: ((call: EmbeddingCall, response: ServerResponse) => void) | null;
  close(): Promise<void>;
}

export async function startEmbeddingServer(): Promise<EmbeddingServer> {
  const calls: EmbeddingCall[] = [];
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const call: EmbeddingCall = {
      headers: request.headers,
      body: JSON.parse(Buffer.concat(parts).toString('utf8')),
    };
    calls.push(call);
    if (embeddings.answer !== null) return embeddings.answer(call, response);
    const { model, input, dimensions } = call.body;
    response.setHeader('content-type', 'application/json').end(
      JSON.stringify({
        object: 'list',
        model,
        data: [{ object: 'embedding', index: 0, embedding: embeddingOf(input, dimensions) }],
        usage: { prompt_tokens: 1, total_tokens: 1 },
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const embeddings: EmbeddingServer = {
    url: `http://127.0.0.1:${port}/v1/embeddings`,
    calls,
    answer: null,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return embeddings;
}

/** A bag of words, each at a place that its hash says, of length 1: texts that share words are near each other. */
export function embeddingOf(text: string, dimensions: number): number[] {
  const counts = new Array<number>(dimensions).fill(0);
  for (const word of text.toLowerCase().match(/\p{L}+/gu) ?? []) {
    const place = createHash('sha256').update(word).digest().readUInt32LE(0) % dimensions;
    counts[place] = (counts[place] ?? 0) + 1;
  }
  const length = Math.hypot(...counts) || 1;
  return counts.map((count) => count / length);
}
