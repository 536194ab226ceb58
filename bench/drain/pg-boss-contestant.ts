import { PgBoss } from 'pg-boss';
import type { Contestant } from './contestant.ts';
import { installedVersion } from './installed-version.ts';
import { payloadBatches } from './payloads.ts';
import { countOf } from './with-client.ts';

const QUEUE = 'event';
const MAX = 10;

/** How it is run: by its worker, in batches and with bursts as documented, and by hand, the fastest that was found by trying. */
const WAYS = {
  'pg-boss': { by: 'work', concurrency: 4, batchSize: 1_000 },
  'pg-boss-fastest': { by: 'fetch and complete', concurrency: 4, batchSize: 2_000 },
} as const;

type Way = (typeof WAYS)[keyof typeof WAYS];

export function pgBossContestant(name: keyof typeof WAYS): Contestant {
  const way = WAYS[name];
  return {
    name,
    settings: { version: installedVersion('pg-boss'), ...way, max: MAX },
    fill: async (url, events) => {
      await withBoss(url, async (boss) => {
        await boss.createQueue(QUEUE);
        for (const batch of payloadBatches(events, 10_000))
          await boss.insert(
            QUEUE,
            batch.map((payload) => ({ data: JSON.parse(payload) })),
          );
      });
    },
    work: async (url, events) =>
      await withBoss(url, async (boss) => {
        const startedAt = performance.now();
        await (way.by === 'work' ? byWorker(boss, way, events) : byHand(boss, way));
        return (performance.now() - startedAt) / 1000;
      }),
    done: (client) => countOf(client, `select count(*) as count from pgboss.job where state = 'completed'`),
  };
}

/** Ends when every job has been handled; `offWork` waits until the last batch is completed. */
async function byWorker(boss: PgBoss, { concurrency, batchSize }: Way, events: number): Promise<void> {
  let left = events;
  await new Promise<void>((handled, failed) => {
    const options = {
      batchSize,
      localConcurrency: concurrency,
      burstWhenBatchFull: true,
      pollingIntervalSeconds: 0.5,
    };
    boss
      .work(QUEUE, options, async (jobs) => {
        left -= jobs.length;
        if (left <= 0) handled();
      })
      .catch(failed);
  });
  await boss.offWork(QUEUE, { wait: true });
}

async function byHand(boss: PgBoss, { concurrency, batchSize }: Way): Promise<void> {
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (;;) {
        const jobs = await boss.fetch(QUEUE, { batchSize });
        if (jobs.length === 0) return;
        await boss.complete(QUEUE, jobs);
      }
    }),
  );
}

async function withBoss<T>(url: string, work: (boss: PgBoss) => Promise<T>): Promise<T> {
  const boss = new PgBoss({ connectionString: url, max: MAX, supervise: false, schedule: false });
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.message}\n`));
  await boss.start();
  try {
    return await work(boss);
  } finally {
    await boss.stop({ graceful: true });
  }
}
