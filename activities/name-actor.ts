import type pg from 'pg';

/**
 * Says in the transaction at hand who acts and why, as claimed (settings `sluice.actor`, `sluice.reason`), so that a
 * record that the target keeps of its own changes can take them from there: whoever asked for the run, and in an undo
 * whoever turned it back, if a person did.
 *
 * @param runId the run that acts; for the undo of a run that has ended, the undo run
 */
export async function nameActor(client: pg.Client, runId: string, direction: 'do' | 'undo'): Promise<void> {
  await client.query(
    `select
       set_config('sluice.actor', coalesce(turned.actor, run.actor), true),
       set_config('sluice.reason', coalesce(turned.reason, run.reason), true)
     from sluice.run
     left join lateral (
       select control_action.actor, control_action.reason
       from sluice.control_action
       where control_action.run_id = run.run_id
         and control_action.action in ('rollback', 'reject', 'expired')
         and $2 = 'undo'
       order by control_action.action_no desc
       limit 1
     ) as turned on true
     where run.run_id::text = $1`,
    [runId, direction],
  );
}
