import type { RetentionPlan } from '../contracts/retention.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { inRetention } from './in-retention.ts';

/** Which partitions of the outbox may leave, and why the others stay; changes nothing. */
export function retirePlan(dependencies: ActivityDependencies) {
  return ({ target }: { target: string }): Promise<RetentionPlan> =>
    inRetention(dependencies, target, { mode: 'read only' }, (ask) =>
      ask<RetentionPlan>('fn_iu_retention_plan()', []),
    );
}
