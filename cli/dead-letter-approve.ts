import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import type { ReplayPlan } from '../contracts/replay.ts';
import { withContext } from './context.ts';
import { replayControlOf } from './dead-letter-control.ts';
import { findPlan } from './dead-letter-find-plan.ts';
import { nextCommand } from './dead-letter-plan-text.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { printResult } from './print.ts';

/** `sluice dead-letter approve HASH`: as another person than the one who made the plan. */
export function deadLetterApprove(
  [reference = '']: readonly string[],
  options: ChangeOptions,
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { plan } = await findPlan(context, reference);
    const control = await replayControlOf(options, context.env);
    const isDry = options.dryRun === true;
    const approved = isDry
      ? plan
      : await withIuCore(context, 'dead-letter approve', ({ client, transact }) =>
          transact('read write', async () => {
            const { rows } = await client.query<{ plan: ReplayPlan }>(
              'select fn_iu_replay_approve($1, $2, $3) as plan',
              [plan.planHash, control.actor, control.reason],
            );
            return rows[0]?.plan ?? plan;
          }),
        );
    const target = context.targetName();
    const { planHash, letters, approvedBy } = approved;
    const next = nextCommand(approved, target);
    const result = { planHash, letters, target, dryRun: isDry, approvedBy, next, ...control };
    printResult(context.output, result, () =>
      isDry
        ? `plan ${plan.planHash.slice(0, 16)} of ${letters} letters would be approved`
        : `plan ${plan.planHash.slice(0, 16)} of ${letters} letters is approved by ${approvedBy}\nnext: ${next}`,
    );
    return EXIT.done;
  });
}
