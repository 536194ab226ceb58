import { type JobResult, PgBoss } from 'pg-boss';
import { installedVersion } from '../drain/installed-version.ts';
import { countOf } from '../drain/with-client.ts';
import type { PostContestant, PostWork } from './post-contestant.ts';
import type { QueuedPost } from './queued-posts.ts';
import { signed, signedPoster } from './signed-poster.ts';
import { slots } from './slots.ts';

const QUEUE = 'post';
const INSERTED_AT_ONCE = 10_000;
const MAX = 10;

/**
 * How it is run: in batches that are posted at once, by several workers and with bursts, as its documentation says, so that
 * the workers' batches together are what is in flight; and the fastest that was found by trying: larger batches, whose
 * posts share the slots. Each job has a result of its own either way: of a batch without, one failed post fails all.
 */
const WAYS = {
  'pg-boss': { workers: 2, batchSize: 'in flight ÷ workers' },
  'pg-boss-fastest': { workers: 4, batchSize: 250 },
} as const;

type Way = (typeof WAYS)[keyof typeof WAYS];

/** pg-boss with a worker that signs and posts. The bytes of the body are in the job. */
export function pgBossContestant(name: keyof typeof WAYS): PostContestant {
  const way = WAYS[name];
  return {
    name,
    template: 'template0',
    settings: { version: installedVersion('pg-boss'), ...way, max: MAX },
    fill: async (url, posts) => {
      await withBoss(url, async (boss) => {
        await boss.createQueue(QUEUE);
        for (let from = 0; from < posts.length; from += INSERTED_AT_ONCE)
          await boss.insert(
            QUEUE,
            posts.slice(from, from + INSERTED_AT_ONCE).map((data) => ({ data })),
          );
      });
    },
    work: (url, work) =>
      withBoss(url, async (boss) => {
        const poster = signedPoster(work.url, work.concurrency);
        const inSlot = slots(work.concurrency);
        const startedAt = performance.now();
        await postAll(boss, way, work, ({ key, body }) =>
          inSlot(() => poster.post(signed(key, Buffer.from(body, 'utf8')))),
        );
        const seconds = (performance.now() - startedAt) / 1_000;
        await poster.close();
        return seconds;
      }),
    done: (client) => countOf(client, `select count(*) as count from pgboss.job where state = 'completed'`),
  };
}

/** Ends when every job has been posted and completed. */
async function postAll(
  boss: PgBoss,
  { workers, batchSize }: Way,
  { posts, concurrency }: PostWork,
  post: (job: QueuedPost) => Promise<void>,
): Promise<void> {
  const options = {
    batchSize: typeof batchSize === 'number' ? batchSize : concurrency / workers,
    localConcurrency: workers,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
    perJobResults: true,
  } as const;
  let left = posts.length;
  await new Promise<void>((posted, failed) => {
    const one = async (id: string, data: QueuedPost) => {
      await post(data);
      left -= 1;
      if (left === 0) posted();
      return { id, status: 'completed' as const };
    };
    boss
      .work<QueuedPost, JobResult[], typeof options>(QUEUE, options, (jobs) =>
        Promise.all(jobs.map(({ id, data }) => one(id, data))),
      )
      .catch(failed);
  });
  // Waits until the last batches are completed.
  await boss.offWork(QUEUE, { wait: true });
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
