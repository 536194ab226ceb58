import { PgBoss } from 'pg-boss';
import type { Contestant } from './contestant.ts';
import { installedVersion } from './installed-version.ts';
import { payloadBatches } from './payloads.ts';
import { countOf } from './with-client.ts';

const QUEUE = 'event';
const TUNED = { loops: 4, batchSize: 2_000, max: 10 };

/** pg-boss by `fetch` and `complete` of whole batches, which is faster than its `work` with bursts of the same size. */
export function pgBossContestant(): Contestant {
  return {
    name: 'pg-boss',
    settings: { version: installedVersion('pg-boss'), ...TUNED },
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
    work: async (url) =>
      await withBoss(url, async (boss) => {
        const startedAt = performance.now();
        await Promise.all(
          Array.from({ length: TUNED.loops }, async () => {
            for (;;) {
              const jobs = await boss.fetch(QUEUE, { batchSize: TUNED.batchSize });
              if (jobs.length === 0) return;
              await boss.complete(QUEUE, jobs);
            }
          }),
        );
        return (performance.now() - startedAt) / 1000;
      }),
    done: (client) => countOf(client, `select count(*) as count from pgboss.job where state = 'completed'`),
  };
}

async function withBoss<T>(url: string, work: (boss: PgBoss) => Promise<T>): Promise<T> {
  const boss = new PgBoss({ connectionString: url, max: TUNED.max, supervise: false, schedule: false });
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.message}\n`));
  await boss.start();
  try {
    return await work(boss);
  } finally {
    await boss.stop({ graceful: true });
  }
}
