import type { JobResult, PgBoss } from 'pg-boss';
import type { PostContestant, PostWork } from '../delivery/post-contestant.ts';
import type { QueuedPost } from '../delivery/queued-posts.ts';
import { signed, signedPoster } from '../delivery/signed-poster.ts';
import { slots } from '../delivery/slots.ts';
import { installedVersion } from '../drain/installed-version.ts';
import { countOf } from '../drain/with-client.ts';
import { fillDeadQueue, MAX, QUEUE, redriveAll, withBoss } from './redriven-queue.ts';

/** How it is run: as in the benchmark of the deliveries, its jobs redriven before. */
const WAYS = {
  'pg-boss': { workers: 2, batchSize: 'in flight ÷ workers', redrive: 1_000 },
  'pg-boss-fastest': { workers: 4, batchSize: 250, redrive: 20_000 },
} as const;

type Way = (typeof WAYS)[keyof typeof WAYS];

/** pg-boss with jobs whose POST failed: redriven from its dead letter queue, then signed and posted by its workers. */
export function pgBossPostContestant(name: keyof typeof WAYS): PostContestant {
  const way = WAYS[name];
  return {
    name,
    template: 'template0',
    settings: { version: installedVersion('pg-boss'), ...way, max: MAX },
    fill: (url, posts) => withBoss(url, (boss) => fillDeadQueue(boss, posts)),
    work: (url, work) =>
      withBoss(url, async (boss) => {
        const poster = signedPoster(work.url, work.concurrency);
        const inSlot = slots(work.concurrency);
        const startedAt = performance.now();
        await redriveAll(boss, way.redrive);
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
  await boss.offWork(QUEUE, { wait: true });
}
