import type pg from 'pg';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { ReplayState } from '../contracts/replay.ts';
import { withContext } from './context.ts';
import { seconds } from './dead-letter-list.ts';
import { withIuCore } from './iu-core.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { textTable } from './text-table.ts';

/** A plan in a list. Times are ISO 8601. */
interface ListedPlan {
  readonly planHash: string;
  readonly state: ReplayState;
  readonly letters: number;
  readonly resolved: number;
  readonly failed: number;
  readonly skipped: number;
  readonly tries: number;
  readonly runs: number;
  readonly needsApproval: boolean;
  readonly approvedBy: string | null;
  readonly heldBy: string | null;
  /** The policy that made it; null where a person did. */
  readonly policy: string | null;
  readonly actor: string;
  readonly reason: string;
  readonly plannedAt: string;
  readonly expiresAt: string;
  readonly isExpired: boolean;
}

type Row = Omit<ListedPlan, 'plannedAt' | 'expiresAt'> & {
  readonly plannedAt: Date;
  readonly expiresAt: Date;
};

/** `sluice dead-letter plans`: the plans of the target, the newest first. */
export function deadLetterPlans(
  _: readonly string[],
  options: GlobalOptions & { readonly limit: number },
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const plans = await withIuCore(context, 'dead-letter plans', ({ client, transact }) =>
      transact('read only', () => readPlans(client, options.limit)),
    );
    printResult(context.output, plans, () => plansText(plans));
    return EXIT.done;
  });
}

async function readPlans(client: pg.Client, limit: number): Promise<readonly ListedPlan[]> {
  const { rows } = await client.query<Row>(
    `select
       plan.plan_hash as "planHash",
       progress.state,
       plan.letters,
       progress.resolved,
       progress.failed,
       progress.skipped,
       progress.tries::integer as tries,
       progress.run_no as runs,
       plan.needs_approval as "needsApproval",
       progress.approved_by as "approvedBy",
       coalesce(progress.held_by, case when progress.gate_because is not null then 'gate' end) as "heldBy",
       plan.policy_code as policy,
       plan.actor,
       plan.reason,
       plan.created_at as "plannedAt",
       plan.expires_at as "expiresAt",
       plan.expires_at <= clock_timestamp() as "isExpired"
     from iu_replay_plan as plan
     join iu_replay_progress as progress using (plan_hash)
     order by plan.created_at desc, plan.plan_hash
     limit $1`,
    [limit],
  );
  return rows.map((row) => ({
    ...row,
    plannedAt: row.plannedAt.toISOString(),
    expiresAt: row.expiresAt.toISOString(),
  }));
}

function plansText(plans: readonly ListedPlan[]): string {
  if (plans.length === 0) return 'no plans; `sluice dead-letter plan` makes one';
  return textTable(
    ['plan', 'state', 'letters', 'resolved', 'failed', 'skipped', 'tries', 'runs', 'planned', 'by'],
    plans.map((plan) => [
      plan.planHash.slice(0, 16),
      stateText(plan),
      plan.letters,
      plan.resolved,
      plan.failed,
      plan.skipped,
      plan.tries,
      plan.runs,
      seconds(plan.plannedAt),
      `${plan.policy === null ? '' : `policy ${plan.policy}, `}${plan.actor}: ${plan.reason}`,
    ]),
  );
}

function stateText({ state, heldBy, isExpired, needsApproval, approvedBy }: ListedPlan): string {
  if (state === 'running') return heldBy === null ? state : `running, held by ${heldBy}`;
  if (state === 'executed' || state === 'stopped') return state;
  if (isExpired) return `${state}, expired`;
  return needsApproval && approvedBy === null ? `${state}, needs approval` : state;
}
