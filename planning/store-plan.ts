import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { assertEngineCurrent } from '../target/install-engine.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import type { BuiltPlan } from './build-plan.ts';

const LIMITS = { lockTimeoutMs: 5_000, statementTimeoutMs: 60_000 };

/**
 * Stores a plan and its texts in the target, in one transaction of its own. What is there already stays as it
 * is, so that storing the same plan again changes nothing.
 *
 * @param options.actor who plans, as claimed
 * @throws SluiceError `engine_schema_missing`, `engine_schema_newer`, `target_read_only`, `target_permission`, …
 */
export async function storePlan(
  client: pg.Client,
  built: BuiltPlan,
  options: { readonly actor: string },
): Promise<{ readonly stored: 'new' | 'already_there' }> {
  const { plan, planHash, canonical, scripts } = built;
  if (options.actor.trim() === '') {
    throw new SluiceError('usage', {
      what: 'The plan names nobody who made it.',
      expected: 'Expected a name, from --actor.',
      safe: 'Nothing was stored.',
    });
  }
  try {
    await assertEngineCurrent(client);
    return await inTransaction(client, 'read write', LIMITS, async () => {
      await client.query(
        `insert into sluice.script (sha256, body)
         select given.sha256, given.body
         from unnest($1::text[], $2::text[]) as given (sha256, body)
         order by given.sha256
         on conflict do nothing`,
        [[...scripts.keys()], [...scripts.values()]],
      );
      const inserted = await client.query(
        `insert into sluice.plan (plan_hash, macro, target, canonical, planned_by)
         values ($1, $2, $3, $4, $5)
         on conflict do nothing`,
        [planHash, plan.macro, plan.target, canonical, options.actor],
      );
      return { stored: inserted.rowCount === 1 ? 'new' : 'already_there' };
    });
  } catch (error) {
    throw mapDatabaseError(error, 'Storing the plan');
  }
}
