import type { RetiredPartition, RetireInput } from '../contracts/retention.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { inRetention } from './in-retention.ts';

/** What a retry has to know: the partition left already, and the answer was lost with its worker. */
const LEFT = `(
  select jsonb_build_object('partition', event_partition, 'events', events, 'attempts', attempts)
  from iu_outbox_partition
  where event_partition = $1
    and retired_at is not null
)`;

/**
 * Lets one partition of events and its attempts leave, under a lock timeout of its own. The database decides again
 * whether it may; one that has left already is told as it was.
 */
export function retirePartition(dependencies: ActivityDependencies) {
  return ({ target, partition, actor, reason, lockTimeoutMs }: RetireInput): Promise<RetiredPartition> =>
    inRetention(dependencies, target, { mode: 'read write', lockTimeoutMs }, async (ask) => {
      const left = await ask<RetiredPartition | null>(LEFT, [partition]);
      return left ?? ask<RetiredPartition>('fn_iu_retention_drop($1, $2, $3)', [partition, actor, reason]);
    });
}
