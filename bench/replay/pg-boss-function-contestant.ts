import type { PgBoss } from 'pg-boss';
import type { Contestant } from '../drain/contestant.ts';
import { installedVersion } from '../drain/installed-version.ts';
import { countOf, withClient } from '../drain/with-client.ts';
import { fillDeadQueue, MAX, QUEUE, redriveAll, withBoss } from './redriven-queue.ts';
import { createFunction, FUNCTION } from './told-function.ts';

/**
 * How it is run: by transactional workers, so that what the function does commits with its jobs, as ours does, redriven in
 * calls of the size that it has by default; and by hand, the fastest that was found by trying, where a job can be done
 * without being completed.
 */
const WAYS = {
  'pg-boss': { by: 'transactional work', concurrency: 4, batchSize: 500, redrive: 1_000 },
  'pg-boss-fastest': { by: 'fetch, call and complete', concurrency: 4, batchSize: 2_000, redrive: 20_000 },
} as const;

type Way = (typeof WAYS)[keyof typeof WAYS];

const CALL = `select ${FUNCTION}(request) from unnest($1::jsonb[]) as request`;

/** pg-boss with jobs that failed: redriven from its dead letter queue, then worked off by calling the function. */
export function pgBossFunctionContestant(name: keyof typeof WAYS, requests: readonly object[]): Contestant {
  const way = WAYS[name];
  return {
    name,
    settings: { version: installedVersion('pg-boss'), ...way, max: MAX },
    fill: async (url) => {
      await withClient(url, (client) => createFunction(client, 'works'));
      await withBoss(url, (boss) => fillDeadQueue(boss, requests));
    },
    work: (url, letters) =>
      withBoss(url, async (boss) => {
        const startedAt = performance.now();
        await redriveAll(boss, way.redrive);
        await (way.by === 'transactional work' ? byWorkers(boss, way, letters) : byHand(boss, way));
        return (performance.now() - startedAt) / 1_000;
      }),
    done: async (client) =>
      Math.min(
        await countOf(client, `select count(*) as count from pgboss.job where state = 'completed'`),
        await countOf(client, 'select count(*) as count from bench.effect'),
      ),
  };
}

/** Ends when every job has been handled; `offWork` waits until the last batch is completed. */
async function byWorkers(boss: PgBoss, { concurrency, batchSize }: Way, letters: number): Promise<void> {
  let left = letters;
  await new Promise<void>((handled, failed) => {
    const options = {
      batchSize,
      localConcurrency: concurrency,
      burstWhenBatchFull: true,
      pollingIntervalSeconds: 0.5,
      transactional: true,
    } as const;
    boss
      .work<object, void, typeof options>(QUEUE, options, async (jobs, transaction) => {
        await transaction.executeSql(CALL, [jobs.map(({ data }) => JSON.stringify(data))]);
        left -= jobs.length;
        if (left <= 0) handled();
      })
      .catch(failed);
  });
  await boss.offWork(QUEUE, { wait: true });
}

async function byHand(boss: PgBoss, { concurrency, batchSize }: Way): Promise<void> {
  const db = boss.getDb();
  await Promise.all(
    Array.from({ length: concurrency }, async () => {
      for (;;) {
        const jobs = await boss.fetch<object>(QUEUE, { batchSize });
        if (jobs.length === 0) return;
        await db.executeSql(CALL, [jobs.map(({ data }) => JSON.stringify(data))]);
        await boss.complete(QUEUE, jobs);
      }
    }),
  );
}
