import type pg from 'pg';
import type { RecordedControl } from '../contracts/macro-activities.ts';
import { currentExecution } from './current-execution.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { cancelIdentity, updateIdentity } from './temporal-identity.ts';
import { withTarget } from './with-target.ts';

/** The activity that records what a person did to a run; a repeated record is the same record. */
export function recordControl(dependencies: ActivityDependencies) {
  return (input: RecordedControl): Promise<void> =>
    withTarget(dependencies, input.target, 'record-control', ({ client }) =>
      insertControl(client, dependencies, input),
    );
}

/** Inserts the row in the caller's transaction, with the identity that Temporal recorded for the caller. */
export async function insertControl(
  client: pg.Client,
  dependencies: ActivityDependencies,
  input: RecordedControl,
): Promise<void> {
  const execution = currentExecution();
  let identity: string | null = null;
  if (input.updateId !== null) identity = await updateIdentity(dependencies, execution, input.updateId);
  else if (input.action === 'cancel') identity = await cancelIdentity(dependencies, execution);
  const actor = input.action === 'cancel' ? (identity ?? input.control.actor) : input.control.actor;
  await client.query(
    `insert into sluice.control_action
       (run_id, step_id, action, actor, temporal_identity, reason, ticket, plan_hash, fingerprint, update_id)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     on conflict (run_id, update_id) where update_id is not null do nothing`,
    [
      input.runId,
      input.stepId,
      input.action,
      actor,
      identity,
      input.control.reason,
      input.control.ticket ?? null,
      input.planHash ?? null,
      input.fingerprint ?? null,
      input.updateId ?? (input.action === 'cancel' ? `cancel ${execution.runId}` : null),
    ],
  );
}
