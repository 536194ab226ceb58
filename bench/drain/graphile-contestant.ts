import { EventEmitter } from 'node:events';
import { Logger, runMigrations, runOnce, type WorkerEvents } from 'graphile-worker';
import type { Contestant } from './contestant.ts';
import { installedVersion } from './installed-version.ts';
import { payloadBatches } from './payloads.ts';
import { countOf, withClient } from './with-client.ts';

/** How it is run: as the page "Performance" of its documentation configures it, and the fastest that was found by trying. */
const WAYS = {
  'graphile-worker': { concurrentJobs: 24, maxPoolSize: 25, queue: 500, delay: 0 },
  'graphile-worker-fastest': { concurrentJobs: 24, maxPoolSize: 25, queue: 2_000, delay: 5 },
} as const;

const ADD_JOBS = `
  select count(*)
  from graphile_worker.add_jobs(array(
    select row('event', payload::json, null, null, null, null, null, null)::graphile_worker.job_spec
    from unnest($1::text[]) as payload))`;

const logger = new Logger(() => () => undefined);

/** graphile-worker with a task that does nothing. It deletes a job that is completed, so the tasks count themselves. */
export function graphileContestant(name: keyof typeof WAYS): Contestant {
  const { queue, delay, ...sizes } = WAYS[name];
  const tuned = {
    ...sizes,
    localQueue: { size: queue },
    completeJobBatchDelay: delay,
    failJobBatchDelay: delay,
  };
  let handled = 0;
  return {
    name,
    settings: { version: installedVersion('graphile-worker'), ...WAYS[name] },
    fill: async (url, events) => {
      handled = 0;
      await runMigrations({ connectionString: url, logger });
      await withClient(url, async (client) => {
        for (const batch of payloadBatches(events, 10_000)) await client.query(ADD_JOBS, [batch]);
      });
    },
    work: async (url) => {
      const workerEvents: WorkerEvents = new EventEmitter();
      let startedAt = 0;
      workerEvents.once('pool:create', () => {
        startedAt = performance.now();
      });
      const task = () => {
        handled += 1;
      };
      await runOnce({
        preset: { worker: { ...tuned, connectionString: url, logger, events: workerEvents } },
        taskList: { event: task },
        noHandleSignals: true,
      });
      return (performance.now() - startedAt) / 1000;
    },
    done: async (client) =>
      handled - (await countOf(client, 'select count(*) as count from graphile_worker._private_jobs')),
  };
}
