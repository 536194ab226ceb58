import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { confirm } from './ask.ts';
import { type Context, withContext } from './context.ts';
import { replayControlOf } from './dead-letter-control.ts';
import { findPlan, findPlanOfRun } from './dead-letter-find-plan.ts';
import { followReplay } from './dead-letter-replay-follow.ts';
import { followWithProgress, progressText } from './dead-letter-replay-progress.ts';
import { type ReplayWorkflow, replayWorkflow, startReplay } from './dead-letter-replay-workflow.ts';
import type { ChangeOptions, GlobalOptions, WatchOptions } from './options.ts';
import { note, printResult } from './print.ts';

type StartOptions = ChangeOptions &
  Pick<WatchOptions, 'timeout'> & { readonly detach?: boolean; readonly until?: 'canary' | 'end' };

/** How long to wait for a started run to open its plan, in milliseconds. */
const OPENING_MS = 5_000;

/** `sluice dead-letter replay HASH`: starts a run of a plan, and follows it to its end. */
export function deadLetterReplayStart(
  [reference = '']: readonly string[],
  options: StartOptions,
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { plan, progress } = await findPlan(context, reference);
    const { planHash } = plan;
    const target = context.targetName();
    const until = options.until ?? 'end';
    const letters = progress.letters - progress.resolved - progress.failed - progress.skipped;
    const what = `${until === 'canary' ? 'the canary of ' : ''}${letters} dead letters on ${target}`;
    if (options.dryRun === true) {
      const result = { planHash, target, until, letters, started: false, state: progress.state };
      printResult(context.output, result, () => `would replay ${what}: plan ${planHash.slice(0, 16)}`);
      note('dry run: nothing was started');
      return EXIT.done;
    }
    await confirm(`Replay ${what}?`, options);
    const control = await replayControlOf(options, context.env);
    const workflow = await replayWorkflow(context, planHash);
    const runId = await startReplay(context, workflow, { ...control, letters, until });
    const link = workflow.temporal.link(workflow.workflowId, runId);
    note(`started: ${link ?? `workflow ${workflow.workflowId}`}`);
    if (options.detach !== true) return followWithProgress(context, workflow, options);
    return printDetached(context, workflow, runId, link);
  });
}

/** `sluice dead-letter replay watch HASH` */
export function deadLetterReplayWatch(
  [reference = '']: readonly string[],
  options: GlobalOptions & Pick<WatchOptions, 'timeout'>,
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { plan } = await findPlanOfRun(context, reference);
    return followWithProgress(context, await replayWorkflow(context, plan.planHash), options);
  });
}

/** Waits a few seconds until the run has opened its plan, so that a refusal shows at once. */
async function printDetached(
  context: Context,
  workflow: ReplayWorkflow,
  runId: string,
  link: string | null,
): Promise<ExitCode> {
  const { planHash, workflowId } = workflow;
  const { why, reading } = await followReplay(context, workflow, {
    timeoutMs: OPENING_MS,
    signal: new AbortController().signal,
    isEnough: ({ runs }) => runs.some((run) => run.runId === runId),
  });
  if (why === 'timeout') note('no worker has taken the run yet; `sluice worker` starts one');
  const target = context.targetName();
  const progress = reading?.progress ?? null;
  printResult(context.output, { planHash, target, workflowId, runId, link, progress }, () =>
    [
      `plan ${planHash.slice(0, 16)} on ${target} is being replayed${progress === null ? '' : `: ${progressText(progress)}`}`,
      link ?? `workflow ${workflowId}, run ${runId}`,
      `sluice dead-letter replay watch ${planHash.slice(0, 16)} --target ${target}`,
    ].join('\n'),
  );
  return EXIT.done;
}
