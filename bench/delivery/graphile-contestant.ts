import { EventEmitter } from 'node:events';
import { Logger, runMigrations, runOnce, type WorkerEvents } from 'graphile-worker';
import { installedVersion } from '../drain/installed-version.ts';
import { countOf, withClient } from '../drain/with-client.ts';
import type { PostContestant } from './post-contestant.ts';
import type { QueuedPost } from './queued-posts.ts';
import { signed, signedPoster } from './signed-poster.ts';

/** How it is run: as the page "Performance" of its documentation configures it, and the fastest that was found by trying. */
const WAYS = {
  'graphile-worker': { maxPoolSize: 25, queue: 500, delay: 0 },
  'graphile-worker-fastest': { maxPoolSize: 25, queue: 2_000, delay: 5 },
} as const;

const ADD_JOBS = `
  select count(*)
  from graphile_worker.add_jobs(array(
    select row('post', payload::json, null, null, null, null, null, null)::graphile_worker.job_spec
    from unnest($1::text[]) as payload))`;
const ADDED_AT_ONCE = 10_000;

const logger = new Logger(() => () => undefined);

/** graphile-worker with a task that signs and posts. The bytes of the body are in the job. */
export function graphileContestant(name: keyof typeof WAYS): PostContestant {
  const { queue, delay, maxPoolSize } = WAYS[name];
  let posted = 0;
  return {
    name,
    template: 'template0',
    settings: { version: installedVersion('graphile-worker'), ...WAYS[name] },
    fill: async (url, posts) => {
      posted = 0;
      await runMigrations({ connectionString: url, logger });
      await withClient(url, async (client) => {
        for (let from = 0; from < posts.length; from += ADDED_AT_ONCE) {
          const batch = posts.slice(from, from + ADDED_AT_ONCE);
          await client.query(ADD_JOBS, [batch.map((post) => JSON.stringify(post))]);
        }
      });
    },
    work: async (url, { url: to, concurrency }) => {
      const poster = signedPoster(to, concurrency);
      const workerEvents: WorkerEvents = new EventEmitter();
      let startedAt = 0;
      workerEvents.once('pool:create', () => {
        startedAt = performance.now();
      });
      const post = async (payload: unknown) => {
        const { key, body } = payload as QueuedPost;
        await poster.post(signed(key, Buffer.from(body, 'utf8')));
        posted += 1;
      };
      await runOnce({
        preset: {
          worker: {
            connectionString: url,
            maxPoolSize,
            concurrentJobs: concurrency,
            localQueue: { size: queue },
            completeJobBatchDelay: delay,
            failJobBatchDelay: delay,
            logger,
            events: workerEvents,
          },
        },
        taskList: { post },
        noHandleSignals: true,
      });
      const seconds = (performance.now() - startedAt) / 1_000;
      await poster.close();
      return seconds;
    },
    done: async (client) =>
      posted - (await countOf(client, 'select count(*) as count from graphile_worker._private_jobs')),
  };
}
