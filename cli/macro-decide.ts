import { sendUpdate } from '../client/send-update.ts';
import type { UpdateName } from '../contracts/control.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import type { Handler } from './lazily.ts';
import { demandOpenRun, type LocatedRun } from './locate-run.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';

/** How long a decision may take that reads the database before it answers, in milliseconds. */
const DECISION_MS = 30_000;

type DecideOptions = ChangeOptions & { readonly acceptFingerprint?: string };

export const macroReject = decides('reject', 'Reject the pending approval and roll the run back?');
export const macroHold = decides('hold', null);
export const macroRelease = decides('release', null);
export const macroRetry = decides('retryStep', null);

/** A command that sends one update to an open run. `question` is asked first where the decision takes work back. */
function decides(update: UpdateName, question: string | null): Handler<DecideOptions> {
  return ([reference], options) =>
    withContext(options, async (context): Promise<ExitCode> => {
      const run = await demandOpenRun(context, reference);
      if (question !== null && options.dryRun !== true) await confirm(question, options);
      const control = await controlOf(options, context.env);
      const accepted =
        options.acceptFingerprint === undefined ? {} : { acceptFingerprint: options.acceptFingerprint };
      const answer =
        options.dryRun === true
          ? `would send ${update}`
          : await run.temporal.within(DECISION_MS, () =>
              sendUpdate(run.handle, update, { ...control, ...accepted }),
            );
      printDecision(context.output, run, update, { ...control, answer });
      return EXIT.done;
    });
}

/** Prints what a decision did, with the link to the run. */
export function printDecision(
  output: Parameters<typeof printResult>[0],
  run: LocatedRun,
  update: UpdateName | 'cancel',
  said: { readonly actor: string; readonly reason: string; readonly answer: string },
): void {
  const { workflowId, temporalRunId } = run;
  const link = run.temporal.link(workflowId, temporalRunId);
  const result = { update, workflowId, temporalRunId, link, ...said };
  printResult(output, result, () => `${workflowId}: ${said.answer}`);
  note(link ?? `workflow ${workflowId}, run ${temporalRunId}`);
}
