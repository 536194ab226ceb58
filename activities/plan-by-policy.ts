import type pg from 'pg';
import type { PlanByPolicyInput, PlanGroup, PlannedByPolicy, ReplayPlan } from '../contracts/replay.ts';
import { SQLSTATES } from '../contracts/sqlstates.ts';
import { leaveOutFailing } from '../replay/leave-out-failing.ts';
import { type Planning, tryOutPlan } from '../replay/plan-replay.ts';
import { askFunction } from '../target/ask-function.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { sqlstateOf } from '../target/sqlstate-of.ts';
import { askOtherRun } from './ask-other-run.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { stepLimits } from './step-limits.ts';
import { withTarget } from './with-target.ts';

/** Letters of each route and fingerprint that are tried out. */
const SAMPLES = 5;
/** Hex digits of a hash that people are shown. */
const SHORT = 16;

interface Policy {
  readonly code: string;
  readonly isEnabled: boolean;
}
/** A run of a plan, as `fn_iu_replay_read` tells it. */
interface NewestRun {
  readonly workflowId: string;
  readonly runId: string;
  readonly temporalNamespace: string;
  readonly temporalAddress: string;
  readonly temporalClusterId: string;
  readonly outcome: string | null;
}
interface Planned {
  readonly plan?: PlannedByPolicy['plans'][number];
  readonly passedOver?: string;
}
interface Given extends PlanByPolicyInput {
  readonly dependencies: ActivityDependencies;
  readonly planning: Planning;
}

/**
 * Makes the plan of every policy that is switched on and tries it out; an open plan of the policy is taken again, so that a
 * repeated attempt makes no second one. Kinds of failure whose samples all still fail are left out of it. What a policy does not do is said: it is switched off, nothing matches, everything still fails, its plan waits
 * for approval, is being executed, or was cancelled by somebody.
 */
export function planByPolicy(dependencies: ActivityDependencies) {
  return (input: PlanByPolicyInput): Promise<PlannedByPolicy> =>
    withTarget(dependencies, input.target, 'plan-by-policy', async ({ client, target }) => {
      const registry = await dependencies.registryOf(target);
      const limits = stepLimits({ target }, 'change');
      const transact: Planning['transact'] = (mode, work) => inTransaction(client, mode, limits, work);
      const planning = { client, transact, target, registry, samples: SAMPLES };
      const policies = await transact('read only', () => readPolicies(client));
      const plans: PlannedByPolicy['plans'][number][] = [];
      const passedOver: PlannedByPolicy['passedOver'][number][] = [];
      for (const policy of policies) {
        const planned = await planOne({ ...input, dependencies, planning }, policy);
        if (planned.plan !== undefined) plans.push(planned.plan);
        if (planned.passedOver !== undefined)
          passedOver.push({ policy: policy.code, because: planned.passedOver });
      }
      return { plans, passedOver };
    });
}

async function planOne(given: Given, policy: Policy): Promise<Planned> {
  if (!policy.isEnabled) return { passedOver: 'it is switched off' };
  const { planning, actor, reason } = given;
  const { client, transact } = planning;
  try {
    const made = await transact('read write', () =>
      askFunction<ReplayPlan>(client, 'fn_iu_replay_plan_by_policy($1, $2, $3)', [
        policy.code,
        actor,
        reason,
      ]),
    );
    if (made.planHash === null) return { passedOver: 'nothing that it matches is to be replayed' };
    const inTheWay = await runInTheWay(given, made.planHash);
    if (inTheWay !== null) return { passedOver: inTheWay };
    const waits = waitsForApproval(made);
    if (waits !== null) {
      // Whoever approves it sees what trying it out has shown.
      if (made.groups.every(({ tried, unknown }) => tried + unknown === 0)) await tryOutPlan(planning, made);
      return { passedOver: waits };
    }
    return await withoutWhatFails(given, policy, await tryOutPlan(planning, made));
  } catch (error) {
    // Somebody changed the policy, or it asks for what cannot be: it keeps no other policy back.
    if (sqlstateOf(error) !== SQLSTATES.replayRefused) throw error;
    return { passedOver: error instanceof Error ? error.message : String(error) };
  }
}

/** The plan, without the kinds of failure that wholly still fail. */
async function withoutWhatFails(
  { planning, actor, reason }: Given,
  { code }: Policy,
  plan: ReplayPlan,
): Promise<Planned> {
  const failing = await leaveOutFailing(planning, plan, { actor, reason });
  if (failing.length === 0) return { plan: planOf(code, plan) };
  const left = sum(plan.groups) - sum(failing);
  const passedOver = `${sum(failing)} of ${plan.letters} letters still fail when they are tried out (${say(failing)}); they stay open`;
  if (left === 0) return { passedOver };
  return { plan: { ...planOf(code, plan), letters: left }, passedOver };
}

function waitsForApproval({ planHash, letters, needsApproval, approvedBy }: ReplayPlan): string | null {
  if (!needsApproval || approvedBy !== null || planHash === null) return null;
  return `plan ${planHash.slice(0, SHORT)} has ${letters} letters and waits for somebody's approval`;
}

function planOf(policy: string, { planHash, letters }: ReplayPlan): PlannedByPolicy['plans'][number] {
  if (planHash === null) throw new Error('a plan of nothing has no hash');
  return { policy, planHash, letters };
}

function sum(groups: readonly PlanGroup[]): number {
  return groups.reduce((letters, group) => letters + group.letters, 0);
}

function say(groups: readonly PlanGroup[]): string {
  return groups.map(({ route, fingerprint }) => `${fingerprint} of ${route ?? 'no route'}`).join(', ');
}

async function readPolicies(client: pg.Client): Promise<readonly Policy[]> {
  const policies = await askFunction<readonly { readonly policy: string; readonly isEnabled: boolean }[]>(
    client,
    'fn_iu_replay_policies()',
    [],
  );
  return policies.map(({ policy: code, isEnabled }) => ({ code, isEnabled }));
}

/** Why the newest run of a plan keeps the policy from starting another one; null where none does. */
async function runInTheWay({ dependencies, planning }: Given, planHash: string): Promise<string | null> {
  const { client, transact } = planning;
  const run = await transact('read only', () =>
    askFunction<NewestRun | null>(client, `fn_iu_replay_read($1) -> 'runs' -> -1`, [planHash]),
  );
  if (run === null) return null;
  const plan = `plan ${planHash.slice(0, SHORT)}`;
  if (run.outcome === 'cancelled') return `${plan} was cancelled, and is for people to go on with`;
  if (run.outcome !== null) return null;
  const answer = await askOtherRun(dependencies, {
    workflow_id: run.workflowId,
    temporal_run_id: run.runId,
    temporal_namespace: run.temporalNamespace,
    temporal_address: run.temporalAddress,
    temporal_cluster_id: run.temporalClusterId,
  });
  return answer === 'gone' ? null : `${plan} is being executed by workflow ${run.workflowId}`;
}
