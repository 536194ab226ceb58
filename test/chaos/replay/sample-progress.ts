import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import pg from 'pg';
import { STATUS_QUERY } from '../../../contracts/control.ts';
import type { ReplayProgress } from '../../../contracts/replay.ts';

/** What was seen of a run from outside. */
export interface Samples {
  /** The newest progress of the rows. */
  rows: ReplayProgress | undefined;
  /** Answers, and questions that nobody answered: a server or the worker was away. */
  readonly answered: { rows: number; query: number };
  readonly unanswered: { rows: number; query: number };
  /** Where a later answer told less than an earlier one, or its counts do not make up the plan. */
  readonly wrong: string[];
}

export interface SampleOptions {
  readonly url: string;
  readonly client: Client;
  readonly workflowId: string;
  readonly planHash: string;
  readonly everyMs: number;
  readonly isOver: () => boolean;
}

const QUERY_WITHIN_MS = 3_000;
const GROWING = ['resolved', 'failed', 'skipped', 'tries'] as const;

export function emptySamples(): Samples {
  return {
    rows: undefined,
    answered: { rows: 0, query: 0 },
    unanswered: { rows: 0, query: 0 },
    wrong: [],
  };
}

/** Asks rows and workflow for the progress until it is over; neither may ever tell less than before. */
export async function sampleProgress(samples: Samples, options: SampleOptions): Promise<void> {
  const { client, workflowId, everyMs, isOver } = options;
  const handle = client.workflow.getHandle(workflowId);
  const ask = {
    rows: () => readRows(options.url, options.planHash),
    query: () =>
      client.withDeadline(Date.now() + QUERY_WITHIN_MS, () => handle.query<ReplayProgress>(STATUS_QUERY)),
  };
  const watch = async (what: 'rows' | 'query') => {
    let before: ReplayProgress | undefined;
    while (!isOver()) {
      const next = delay(everyMs);
      try {
        const found = await ask[what]();
        if (found.letters > 0) {
          const fault = progressFault(before, found);
          if (fault !== null) samples.wrong.push(`${what}: ${fault}`);
          before = found;
          samples.answered[what] += 1;
          if (what === 'rows') samples.rows = found;
        }
      } catch {
        samples.unanswered[what] += 1;
      }
      await next;
    }
  };
  await Promise.all([watch('rows'), watch('query')]);
}

/** What is wrong with a progress, given the one before it; null where nothing is. */
export function progressFault(before: ReplayProgress | undefined, now: ReplayProgress): string | null {
  const { letters, resolved, failed, skipped, inFlight, waiting } = now;
  if (resolved + failed + skipped + inFlight + waiting !== letters)
    return `${JSON.stringify(now)} does not add up`;
  const less = GROWING.filter((count) => before !== undefined && now[count] < before[count]);
  return less.length === 0
    ? null
    : less.map((count) => `${count} went from ${before?.[count]} back to ${now[count]}`).join(', ');
}

export async function readRows(url: string, planHash: string): Promise<ReplayProgress> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'chaos sample',
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
  });
  client.on('error', () => undefined);
  await client.connect();
  try {
    const { rows } = await client.query<{ progress: ReplayProgress }>(
      `select fn_iu_replay_read($1) -> 'progress' as progress`,
      [planHash],
    );
    const [row] = rows;
    if (row === undefined) throw new Error('the plan gave no row');
    return row.progress;
  } finally {
    await client.end().catch(() => undefined);
  }
}
