import type pg from 'pg';
import type { TargetAccess } from '../activities/dependencies.ts';
import type { ReplayFilter, ReplayPlan, ReplayPolicy } from '../contracts/replay.ts';
import type { DeliveryRegistry } from '../delivery/delivery-registry.ts';
import { askFunction } from '../target/ask-function.ts';
import { repeatLostTransaction } from '../target/repeat-lost-transaction.ts';
import type { Transact } from '../target/transact.ts';
import { tryOut } from './try-out.ts';

/** Where a plan is made and tried out. */
export interface Planning {
  readonly client: pg.Client;
  readonly transact: Transact<'read only' | 'read write'>;
  readonly target: Pick<TargetAccess, 'name' | 'delivery'>;
  /** What delivers for the target, as its worker has it. */
  readonly registry: DeliveryRegistry;
  /** Letters of each route and fingerprint to try out; 0 tries none. */
  readonly samples: number;
}

export interface PlanReplayOptions extends Planning {
  readonly filter: ReplayFilter;
  /** What is absent is filled in. */
  readonly policy: Partial<ReplayPolicy>;
  readonly actor: string;
  readonly reason: string;
}

/**
 * Freezes the dead letters that a filter matches as a plan and tries some of them out. `planHash` is null where there is
 * nothing to replay; nothing is stored then.
 *
 * @throws SluiceError by way of SQLSTATE SL010: replay_invalid, dead_letter_not_found, dead_letter_refused
 */
export async function planReplay(options: PlanReplayOptions): Promise<ReplayPlan> {
  const { client, filter, policy, actor, reason } = options;
  const given = [JSON.stringify(filter), JSON.stringify(policy), actor, reason];
  const plan = await inOne(options, () =>
    askFunction<ReplayPlan>(client, 'fn_iu_replay_plan($1, $2, $3, $4)', given),
  );
  return tryOutPlan(options, plan);
}

/**
 * Tries letters of a plan out, stores what that showed, and answers the plan with it. The hash stays the same. A plan of
 * nothing is answered as it is.
 */
export async function tryOutPlan(planning: Planning, plan: ReplayPlan): Promise<ReplayPlan> {
  const { planHash } = plan;
  const { client, samples } = planning;
  if (planHash === null || !(samples > 0)) return plan;
  const tried = await tryOut({ ...planning, plan: { ...plan, planHash } });
  return inOne(planning, async () => {
    await askFunction(client, 'fn_iu_replay_tried($1, $2)', [planHash, JSON.stringify(tried)]);
    return askFunction<ReplayPlan>(client, `fn_iu_replay_read($1) -> 'plan'`, [planHash]);
  });
}

function inOne<T>({ transact, target }: Planning, work: () => Promise<T>): Promise<T> {
  return repeatLostTransaction({ doing: `Planning a replay on target ${target.name}` }, () =>
    transact('read write', work),
  );
}
