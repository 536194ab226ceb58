import pg from 'pg';
import { inTransaction } from '../../target/in-transaction.ts';
import { LIMITS } from '../drain/install-iu-core.ts';
import { rawBatchOf } from '../drain/raw-contestant.ts';

/** One way to write the attempts of the next batch, on a connection of its own. */
export interface Lane {
  /** Milliseconds of one batch, its COMMIT included; it has to find as many events as it may take. */
  batch(): Promise<number>;
  end(): Promise<void>;
}

export async function workerLane(url: string, batch: number): Promise<Lane> {
  const client = await connected(url);
  return {
    batch: async () => {
      const startedAt = performance.now();
      const run = await runOnce(client, batch);
      const took = performance.now() - startedAt;
      if (run.seen !== batch || run.attempts_written !== batch)
        throw new Error(
          `the worker saw ${run.seen} events and wrote ${run.attempts_written} attempts, not ${batch}`,
        );
      return took;
    },
    end: () => client.end(),
  };
}

/**
 * The bare rows from the same outbox; its cursor is the row that it updates. It is planned as the worker's statement is:
 * left alone, the planner takes the rows ahead for none, and reads and sorts the whole backlog for each batch.
 */
export async function rawLane(url: string, batch: number): Promise<Lane> {
  const client = await connected(url);
  await client.query(
    'set enable_seqscan = off; set enable_bitmapscan = off; set enable_sort = off; set jit = off',
  );
  const text = rawBatchOf(batch);
  const start = await client.query<{ cursor: string[] }>(
    'select array[epoch::text, xact_id::text, created_at::text, id::text] as cursor from raw_cursor',
  );
  let cursor = start.rows[0]?.cursor;
  return {
    batch: async () => {
      const startedAt = performance.now();
      const { rows } = await inTransaction(client, 'read write', LIMITS, () =>
        client.query<{ cursor: string[] }>(text, cursor),
      );
      const took = performance.now() - startedAt;
      cursor = rows[0]?.cursor;
      if (cursor === undefined) throw new Error('the raw statement found no event');
      return took;
    },
    end: () => client.end(),
  };
}

export interface WorkerRun {
  readonly status: string;
  readonly seen: number;
  readonly attempts_written: number;
}

/** One run of the worker in a transaction of its own, as the drain does it. */
export async function runOnce(client: pg.Client, batch: number): Promise<WorkerRun> {
  return await inTransaction(client, 'read write', LIMITS, async () => {
    const { rows } = await client.query<{ run: WorkerRun }>('select fn_iu_route_worker_run($1, $2) as run', [
      'iu_outbound_default',
      batch,
    ]);
    const run = rows[0]?.run;
    if (run?.status !== 'ran') throw new Error(`the worker answered ${run?.status}`);
    return run;
  });
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return client;
}
