import { sendUpdate } from '../client/send-update.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import type { PendingApproval } from '../contracts/macro-run.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { demandOpenRun } from './locate-run.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { type RunView, readRun } from './run-view.ts';
import { headline, nextText } from './step-table.ts';
import { CALL_MS } from './temporal-access.ts';

type ApproveOptions = ChangeOptions & { readonly fingerprint?: string; readonly plan?: string };

/**
 * `sluice macro approve [RUN] [--fingerprint F]`: sends the plan hash and the fingerprint that the run itself shows;
 * where the caller does not name the fingerprint, only after a yes.
 */
export function macroApprove([reference]: readonly string[], options: ApproveOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const run = await demandOpenRun(context, reference);
    const view = await readRun(context, run);
    const pending = demandPending(view);
    demandSame('plan hash', options.plan, pending.planHash);
    demandSame('fingerprint', options.fingerprint, pending.fingerprint);
    const { stepId, planHash, fingerprint } = pending;
    if (options.fingerprint === undefined || options.dryRun === true)
      note(`${headline(view)}\n${nextText(view)}`);
    if (options.dryRun !== true && options.fingerprint === undefined) {
      await confirm(`Approve step ${stepId} of run ${view.runNo} on this database?`, options);
    }
    const control = await controlOf(options, context.env);
    const answer =
      options.dryRun === true
        ? `would approve step ${stepId}`
        : await run.temporal.within(CALL_MS, () =>
            sendUpdate(run.handle, 'approve', { ...control, planHash, fingerprint }),
          );
    const { runId, runNo, workflowId, link } = view;
    const result = { runId, runNo, workflowId, link, stepId, planHash, fingerprint, ...control, answer };
    printResult(context.output, result, () => `run ${runNo}: ${answer}\n${link ?? `workflow ${workflowId}`}`);
    return EXIT.done;
  });
}

function demandPending(view: RunView): PendingApproval {
  if (view.pendingApproval !== null) return view.pendingApproval;
  throw new SluiceError('approval_refused', {
    what: `No approval is pending: ${headline(view)}.`,
    expected: 'A run that waits for an approval.',
    safe: 'Nothing was changed; the run goes on as it was.',
  });
}

function demandSame(name: string, given: string | undefined, actual: string): void {
  if (given === undefined || given === actual) return;
  throw new SluiceError('approval_refused', {
    what: `The ${name} ${given} is not the one that waits: ${actual}.`,
    expected: 'What you approve must be what you looked at; look again with `sluice macro status`.',
    safe: 'Nothing was approved; the run waits as before.',
  });
}
