import { PgBoss } from 'pg-boss';

/** The queue that jobs fail in and come back to, and the dead letter queue between. */
export const QUEUE = 'told';
const DEAD = 'told-dead';

const INSERTED_AT_ONCE = 10_000;
const FAILED_AT_ONCE = 5_000;

/** Sizes of its pool. */
export const MAX = 10;

/** Jobs that failed for good and lie in the dead letter queue, as many as are given. */
export async function fillDeadQueue(boss: PgBoss, jobs: readonly object[]): Promise<void> {
  await boss.createQueue(DEAD);
  await boss.createQueue(QUEUE, { deadLetter: DEAD, retryLimit: 0 });
  for (let from = 0; from < jobs.length; from += INSERTED_AT_ONCE)
    await boss.insert(
      QUEUE,
      jobs.slice(from, from + INSERTED_AT_ONCE).map((data) => ({ data })),
    );
  for (;;) {
    const fetched = await boss.fetch(QUEUE, { batchSize: FAILED_AT_ONCE });
    if (fetched.length === 0) return;
    await boss.fail(QUEUE, fetched, { message: 'the target is not there yet' });
  }
}

/** Moves every job of the dead letter queue back to where it failed, so many with a call; answers how many. */
export async function redriveAll(boss: PgBoss, limit: number): Promise<number> {
  for (let moved = 0; ; ) {
    const count = await boss.redrive(DEAD, { limit });
    moved += count;
    if (count === 0) return moved;
  }
}

export async function withBoss<T>(url: string, work: (boss: PgBoss) => Promise<T>): Promise<T> {
  const boss = new PgBoss({ connectionString: url, max: MAX, supervise: false, schedule: false });
  boss.on('error', (error) => process.stderr.write(`pg-boss: ${error.message}\n`));
  await boss.start();
  try {
    return await work(boss);
  } finally {
    await boss.stop({ graceful: true });
  }
}
