import path from 'node:path';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { replayWorkflowId } from '../contracts/names.ts';
import type { ReplayProgress } from '../contracts/replay.ts';
import {
  type ReplayEvent,
  type ReplayExecution,
  type ReplayReading,
  type ReplayReportFiles,
  readReplayReport,
  writeReplayReport,
} from '../evidence/replay-report.ts';
import { type Context, withContext } from './context.ts';
import { findPlanOfRun } from './dead-letter-find-plan.ts';
import { seconds } from './dead-letter-list.ts';
import { iso, policyText } from './dead-letter-plan-text.ts';
import { readChain } from './dead-letter-replay-chain.ts';
import { progressText } from './dead-letter-replay-progress.ts';
import { replayWorkflow } from './dead-letter-replay-workflow.ts';
import { aligned } from './dead-letter-show-text.ts';
import { withIuCore } from './iu-core.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { textTable } from './text-table.ts';

/** A plan's runs as one story: what the target knows, and every execution that Temporal still has. */
interface ShownReplay extends ReplayReading {
  readonly target: string;
  readonly workflowId: string;
  /** Null where Temporal does not answer, and then `problem` says why. */
  readonly executions: readonly ReplayExecution[] | null;
  readonly problem: string | null;
  /** Where the evidence was written; null where nobody asked for it. */
  readonly evidence: ReplayReportFiles | null;
}

/** `sluice dead-letter replay show RUN|HASH [--evidence DIR]` */
export function deadLetterReplayShow(
  [reference = '']: readonly string[],
  options: GlobalOptions & { readonly evidence?: string },
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const reading = await findPlanOfRun(context, reference);
    const chain = await chainOf(context, reading);
    const evidence =
      options.evidence === undefined
        ? null
        : await writeEvidence(context, reading.plan.planHash, chain.executions, options.evidence);
    const shown: ShownReplay = { target: context.targetName(), ...reading, ...chain, evidence };
    printResult(context.output, shown, () => shownText(shown));
    return EXIT.done;
  });
}

async function chainOf(
  context: Context,
  { plan, runs }: ReplayReading,
): Promise<Pick<ShownReplay, 'workflowId' | 'executions' | 'problem'>> {
  const workflowId = replayWorkflowId(context.targetName(), plan.planHash);
  try {
    const workflow = await replayWorkflow(context, plan.planHash);
    return { workflowId, executions: await readChain(workflow, runs), problem: null };
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return { workflowId, executions: null, problem: error.text.what };
  }
}

async function writeEvidence(
  context: Context,
  planHash: string,
  executions: ShownReplay['executions'],
  dir: string,
): Promise<ReplayReportFiles> {
  const report = await withIuCore(context, 'report a replay', ({ client, transact }) =>
    transact('read only', () => readReplayReport(client, planHash)),
  );
  return writeReplayReport({ ...report, executions }, path.resolve(context.cwd, dir));
}

function shownText(shown: ShownReplay): string {
  const { plan, progress, runs, story, executions, problem, evidence } = shown;
  return [
    ...aligned([
      ['plan', `${plan.planHash}, ${progress.state}`],
      ['planned', `${seconds(iso(plan.plannedAt))} by ${plan.actor}: ${plan.reason}`],
      ...(plan.approvedBy === null ? [] : [['approved', `by ${plan.approvedBy}`] as const]),
      ['policy', policyText(plan.policy)],
      ['letters', `${progressText(progress)}; ${progress.tries} tries`],
      ['workflow', shown.workflowId],
    ]),
    runs.length === 0
      ? 'no run yet'
      : textTable(
          ['run', 'started', 'ended', 'outcome', 'because', 'by'],
          runs.map(({ runNo, startedAt, endedAt, outcome, because, actor, reason }) => [
            runNo,
            seconds(iso(startedAt)),
            endedAt === null ? '-' : seconds(iso(endedAt)),
            outcome?.replace('_', ' ') ?? 'under way',
            because ?? '-',
            `${actor}: ${reason}`,
          ]),
        ),
    executionsText(executions, problem),
    textTable(
      ['when', 'what', 'by', 'reason', 'detail'],
      story.map(({ at, what, actor, reason, detail }) => [
        seconds(iso(at)),
        what.replaceAll('_', ' '),
        actor,
        reason,
        detailText(detail),
      ]),
    ),
    ...(evidence === null
      ? []
      : [evidence.markdown, evidence.json, `SHA-256 of the JSON: ${evidence.sha256}`]),
  ].join('\n');
}

/** What a line of the story adds: counts at the end of a run, else what is not told elsewhere. */
function detailText({ progress, workflowId, ...detail }: ReplayEvent['detail']): string {
  if (progress !== undefined) return progressText(progress as ReplayProgress);
  if (workflowId !== undefined) return '';
  return Object.entries(detail)
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
}

function executionsText(executions: ShownReplay['executions'], problem: string | null): string {
  if (executions === null) return `executions unknown: ${problem}`;
  if (executions.length === 0) return 'Temporal has no execution of it any more';
  return textTable(
    ['run', 'status', 'events', 'started', 'ended', 'execution'],
    executions.map(({ runNo, status, historyLength, startedAt, endedAt, link, runId }) => [
      runNo ?? '-',
      status.toLowerCase().replaceAll('_', ' '),
      historyLength,
      seconds(startedAt),
      endedAt === null ? '-' : seconds(endedAt),
      link ?? runId,
    ]),
  );
}
