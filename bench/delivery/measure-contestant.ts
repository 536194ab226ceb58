import type { BenchServer } from '../drain/start-server.ts';
import { withClient } from '../drain/with-client.ts';
import { cpuSeconds } from './cpu-seconds.ts';
import type { PostContestant } from './post-contestant.ts';
import type { QueuedPost } from './queued-posts.ts';
import type { Receiver } from './receiver.ts';

/** Where all contestants compete. */
export interface Field {
  readonly server: BenchServer;
  readonly receiver: Receiver;
  readonly posts: readonly QueuedPost[];
}

export interface Measured {
  /** POSTs per second. */
  readonly rate: number;
  /** CPU time of this process for each of them, and of the server. */
  readonly nodeMicros: number;
  readonly postgresMicros: number;
}

/**
 * One contestant with so many requests in flight, from a fresh database that is dropped again.
 *
 * @throws Error unless every key arrived once with its bytes, and is done
 */
export async function measureContestant(
  { server, receiver, posts }: Field,
  contestant: PostContestant,
  concurrency: number,
): Promise<Measured> {
  const url = server.urlOf('bench');
  const admin = (statement: string) => withClient(server.adminUrl, (client) => client.query(statement));
  await admin(`create database bench template ${contestant.template ?? 'template0'}`);
  try {
    await contestant.fill(url, posts);
    await withClient(url, (client) => client.query('vacuum analyze'));
    await admin('checkpoint');
    await receiver.take();
    const before = await cpuSeconds(server);
    const seconds = await contestant.work(url, { posts, url: receiver.urls.answering, concurrency });
    const after = await cpuSeconds(server);
    const done = await withClient(url, contestant.done);
    const { requests, keys, bodyBytes } = await receiver.take();
    if ([done, requests, keys].some((count) => count !== posts.length) || bodyBytes !== bytesOf(posts))
      throw new Error(
        `${contestant.name} did ${done} of ${posts.length}; ${requests} requests with ${keys} keys and ` +
          `${bodyBytes} of ${bytesOf(posts)} bytes arrived`,
      );
    const micros = (from: number, to: number) => Math.round(((to - from) * 1_000_000) / posts.length);
    return {
      rate: Math.round(posts.length / seconds),
      nodeMicros: micros(before.node, after.node),
      postgresMicros: micros(before.postgres, after.postgres),
    };
  } finally {
    await admin('drop database bench with (force)');
  }
}

/** Bytes of all bodies together. */
export function bytesOf(posts: readonly QueuedPost[]): number {
  return posts.reduce((sum, { body }) => sum + Buffer.byteLength(body), 0);
}
