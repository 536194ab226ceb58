import type pg from 'pg';
import { inTransaction } from '../../target/in-transaction.ts';
import type { Contestant } from './contestant.ts';
import { LIMITS } from './install-iu-core.ts';
import { emitEvents } from './iu-core-events.ts';
import { countOf, withClient } from './with-client.ts';

/** The route worker, called as the drain calls it: batch by batch, each its own transaction. */
export function drainContestant(template: string, batch: number): Contestant {
  return {
    name: 'drain',
    template,
    settings: { batch },
    fill: emitEvents,
    work: async (url) =>
      await withClient(url, async (client) => {
        const startedAt = performance.now();
        await runWorker(client, batch);
        return (performance.now() - startedAt) / 1000;
      }),
    done: (client) =>
      countOf(
        client,
        `select count(distinct event_id) as count
         from iu_route_attempt
         where decision = 'dry_run' and route_code = 'iu_version_applied'`,
      ),
  };
}

/** Runs until a run finds nothing. */
export async function runWorker(client: pg.Client, batch: number): Promise<void> {
  for (;;) {
    const run = await inTransaction(client, 'read write', LIMITS, async () => {
      const { rows } = await client.query<{ run: { status: string; seen: number } }>(
        'select fn_iu_route_worker_run($1, $2) as run',
        ['iu_outbound_default', batch],
      );
      return rows[0]?.run;
    });
    if (run?.status !== 'ran') throw new Error(`the worker answered ${run?.status}`);
    if (run.seen === 0) return;
  }
}
