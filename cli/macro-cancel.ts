import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { followRun } from './follow-run.ts';
import { demandOpenRun } from './locate-run.ts';
import { printDecision } from './macro-decide.ts';
import { rolledBackIsDone } from './macro-rollback.ts';
import type { ChangeOptions, WatchOptions } from './options.ts';
import { CALL_MS } from './temporal-access.ts';

/** `sluice macro cancel [RUN]`: what the Cancel button of the Temporal UI does; the run rolls itself back. */
export function macroCancel(
  [reference]: readonly string[],
  options: ChangeOptions & WatchOptions,
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const run = await demandOpenRun(context, reference);
    const { temporal, workflowId, temporalRunId } = run;
    if (options.dryRun !== true) await confirm(`Cancel ${workflowId} and roll it back?`, options);
    const control = await controlOf(options, context.env);
    if (options.dryRun !== true) {
      await temporal.within(CALL_MS, () =>
        temporal.client.workflowService.requestCancelWorkflowExecution({
          namespace: temporal.namespace,
          workflowExecution: { workflowId, runId: temporalRunId },
          identity: control.actor,
          reason: `${control.actor}: ${control.reason}`,
        }),
      );
      if (options.wait === true)
        return rolledBackIsDone(await followRun(context, run, { ...options, stay: true }));
    }
    const answer = options.dryRun === true ? 'would be cancelled' : 'cancelled; the run rolls back';
    printDecision(context.output, run, 'cancel', { ...control, answer });
    return EXIT.done;
  });
}
