import { EventEmitter } from 'node:events';
import { Logger, runMigrations, runOnce, type WorkerEvents } from 'graphile-worker';
import type { Contestant } from './contestant.ts';
import { installedVersion } from './installed-version.ts';
import { payloadBatches } from './payloads.ts';
import { countOf, withClient } from './with-client.ts';

/**
 * As the page "Performance" of its documentation configures it, but for a larger local queue and a short delay, which
 * its documentation suggests where tasks are fast and many: half the CPU time of the page's 500 and 0.
 */
const TUNED = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 2_000 },
  completeJobBatchDelay: 5,
  failJobBatchDelay: 5,
};

const ADD_JOBS = `
  select count(*)
  from graphile_worker.add_jobs(array(
    select row('event', payload::json, null, null, null, null, null, null)::graphile_worker.job_spec
    from unnest($1::text[]) as payload))`;

const logger = new Logger(() => () => undefined);

/** graphile-worker with a task that does nothing. It deletes a job that is completed, so the tasks count themselves. */
export function graphileContestant(): Contestant {
  let handled = 0;
  return {
    name: 'graphile-worker',
    settings: { version: installedVersion('graphile-worker'), ...TUNED, localQueue: TUNED.localQueue.size },
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
        preset: { worker: { ...TUNED, connectionString: url, logger, events: workerEvents } },
        taskList: { event: task },
        noHandleSignals: true,
      });
      return (performance.now() - startedAt) / 1000;
    },
    done: async (client) =>
      handled - (await countOf(client, 'select count(*) as count from graphile_worker._private_jobs')),
  };
}
