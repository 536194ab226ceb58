import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { ReplayReading } from '../evidence/replay-report.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { withSession } from '../target/open-session.ts';
import type { Context } from './context.ts';
import { UUID } from './dead-letter-options.ts';
import { withIuCore } from './iu-core.ts';
import { usage } from './usage.ts';

/** How long another target may take to answer, in milliseconds. */
const ELSEWHERE_MS = 3_000;

/**
 * Reads the plan of that hash, or of a prefix of at least 8 digits.
 *
 * @throws SluiceError `usage` for what is no hash; `replay_not_found`, naming the target that knows it, where one does
 */
export async function findPlan(context: Context, reference: string): Promise<ReplayReading> {
  const hash = planHashOf(reference);
  try {
    return await withIuCore(context, 'read a replay plan', ({ client, transact }) =>
      transact('read only', () => readPlan(client, hash)),
    );
  } catch (error) {
    if (!isUnknown(error)) throw error;
    throw await withElsewhere(context, hash, error);
  }
}

/**
 * Finds the plan that a hash, a prefix of it, a workflow id, or Temporal's id of a run's first execution names.
 *
 * @throws SluiceError as {@link findPlan}; `run_not_found` for an id of a run that no plan has
 */
export async function findPlanOfRun(context: Context, reference: string): Promise<ReplayReading> {
  const ofWorkflow = /^replay\/.+\/([0-9a-f]{16})$/.exec(reference)?.[1];
  if (ofWorkflow !== undefined) return findPlan(context, ofWorkflow);
  if (!UUID.test(reference)) return findPlan(context, reference);
  const hash = await withIuCore(context, 'find a replay', ({ client, transact }) =>
    transact('read only', async () => {
      const { rows } = await client.query<{ plan_hash: string }>(
        'select iu_replay_run.plan_hash from iu_replay_run where iu_replay_run.run_id = $1',
        [reference.toLowerCase()],
      );
      return rows[0]?.plan_hash;
    }),
  );
  if (hash !== undefined) return findPlan(context, hash);
  throw new SluiceError('run_not_found', {
    what: `Target ${context.targetName()} knows no replay run ${reference}.`,
    expected: 'The id of the first execution of a run, as `sluice dead-letter replay show HASH` has it.',
    safe: 'Nothing was changed.',
  });
}

/** Reads a plan with its progress, its runs and its story. The transaction is open in the schema of IU Core. */
export async function readPlan(client: pg.Client, hash: string): Promise<ReplayReading> {
  const { rows } = await client.query<{ reading: ReplayReading }>('select fn_iu_replay_read($1) as reading', [
    hash,
  ]);
  const [row] = rows;
  if (row === undefined) throw new Error('fn_iu_replay_read returned no row');
  return row.reading;
}

/** @throws SluiceError `usage` */
export function planHashOf(reference: string): string {
  const hash = reference.toLowerCase();
  if (/^[0-9a-f]{8,64}$/.test(hash)) return hash;
  throw usage(
    `${reference} is no hash of a replay plan.`,
    'At least 8 of its 64 hex digits; `sluice dead-letter plans` shows them.',
  );
}

function isUnknown(error: unknown): error is SluiceError {
  return (
    error instanceof SluiceError &&
    error.code === 'replay_not_found' &&
    !error.text.what.startsWith('Several plans')
  );
}

/** The error with the name of another configured target that knows the plan. One that does not answer is passed over. */
async function withElsewhere(context: Context, hash: string, error: SluiceError): Promise<SluiceError> {
  const here = context.targetName();
  const others = Object.keys(context.config.targets).filter((name) => name !== here);
  const knowing = await Promise.all(
    others.map(async (name) => ((await knows(context, name, hash).catch(() => false)) ? [name] : [])),
  );
  const [there] = knowing.flat();
  if (there === undefined) return error;
  return new SluiceError(
    'replay_not_found',
    {
      what: `Target ${here} knows no plan ${hash}: it is one of target ${there}.`,
      expected: `Pass --target ${there}.`,
      safe: 'Nothing was changed.',
    },
    { cause: error },
  );
}

async function knows(context: Context, name: string, hash: string): Promise<boolean> {
  const { url, schema } = await context.target(name);
  const limits = { schema, lockTimeoutMs: ELSEWHERE_MS, statementTimeoutMs: ELSEWHERE_MS };
  return withSession({ url, applicationName: 'sluice: find a replay plan' }, (client) =>
    inTransaction(client, 'read only', limits, async () => {
      await readPlan(client, hash);
      return true;
    }),
  );
}
