import { WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import {
  REPLAY_UPDATES,
  type ReplayControl,
  type ReplayProgress,
  type ReplaySkip,
} from '../contracts/replay.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { replayControlOf } from './dead-letter-control.ts';
import { findPlanOfRun } from './dead-letter-find-plan.ts';
import { uuids } from './dead-letter-options.ts';
import { progressText } from './dead-letter-replay-progress.ts';
import { asked, described, type ReplayWorkflow, replayWorkflow } from './dead-letter-replay-workflow.ts';
import type { Handler } from './lazily.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';
import { CALL_MS } from './temporal-access.ts';
import { usage } from './usage.ts';

type SteerOptions = ChangeOptions & {
  readonly route?: string;
  readonly fingerprint?: string;
  readonly id?: readonly string[];
};
type Verb = 'hold' | 'release' | 'skip' | 'rate' | 'cancel';

/** How long an update may take that writes into the target before it answers, in milliseconds. */
const UPDATE_MS = 30_000;

const DONE: Readonly<Record<Verb, string>> = {
  hold: 'held: nothing further is tried until it is released',
  release: 'released: it goes on',
  skip: 'skipped: those letters stay open',
  rate: 'has another rate',
  cancel: 'is being cancelled: what is in flight is settled, the rest stays open',
};

/** `sluice dead-letter replay hold|release|skip|rate|cancel HASH`: steers the run that is open. */
export const STEER_REPLAY: Readonly<Record<Verb, Handler<SteerOptions>>> = {
  hold: steers('hold', () => ({})),
  release: steers('release', () => ({})),
  skip: steers('skip', (_, options) => skipped(options)),
  rate: steers('rate', ([, rate = '']) => ({ ratePerSecond: rateOf(rate) })),
  cancel: steers('cancel', () => ({})),
};

function steers(
  verb: Verb,
  readValue: (args: readonly string[], options: SteerOptions) => object,
): Handler<SteerOptions> {
  return (args, options) =>
    withContext(options, async (context): Promise<ExitCode> => {
      const value = readValue(args, options);
      const { plan } = await findPlanOfRun(context, args[0] ?? '');
      const workflow = await replayWorkflow(context, plan.planHash);
      const { temporal, workflowId, planHash } = workflow;
      const state = await described(workflow);
      const target = context.targetName();
      if (state?.status !== 'RUNNING') throw noneOpen(planHash, target);
      const isDry = options.dryRun === true;
      if (verb === 'cancel' && !isDry) await confirm(`Cancel the replay ${workflowId}?`, options);
      const control = await replayControlOf(options, context.env);
      const progress = isDry ? null : await send(workflow, verb, { ...control, ...value }, target);
      const link = temporal.link(workflowId, state.runId);
      const result = { verb, planHash, workflowId, link, dryRun: isDry, ...value, ...control, progress };
      printResult(context.output, result, () =>
        [
          `${workflowId} ${isDry ? `would be told to ${verb}` : DONE[verb]}`,
          ...(progress === null ? [] : [progressText(progress)]),
        ].join('\n'),
      );
      note(link ?? `workflow ${workflowId}`);
      return EXIT.done;
    });
}

async function send(
  workflow: ReplayWorkflow,
  verb: Verb,
  input: ReplayControl,
  target: string,
): Promise<ReplayProgress | null> {
  const { temporal, handle, workflowId, planHash } = workflow;
  if (verb === 'cancel') {
    await asked(() =>
      temporal.within(CALL_MS, () =>
        temporal.client.workflowService.requestCancelWorkflowExecution({
          namespace: temporal.namespace,
          workflowExecution: { workflowId },
          identity: input.actor,
          reason: `${input.actor}: ${input.reason}`,
        }),
      ),
    );
    return null;
  }
  const name = verb === 'rate' ? REPLAY_UPDATES.setRate : REPLAY_UPDATES[verb];
  try {
    return await temporal.within(UPDATE_MS, () =>
      handle.executeUpdate<ReplayProgress, [ReplayControl]>(name, { args: [input] }),
    );
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) throw noneOpen(planHash, target);
    if (error instanceof WorkflowUpdateFailedError && !hasCode(error.cause)) {
      const words = error.cause instanceof Error ? error.cause.message : error.message;
      throw new SluiceError('update_refused', { what: words, expected: '', safe: '' }, { cause: error });
    }
    throw error;
  }
}

/** Whether the failure carries the code of an error, and is explained by it. */
function hasCode(cause: unknown): boolean {
  return cause instanceof Error && 'type' in cause && typeof cause.type === 'string';
}

function skipped({ route, fingerprint, id }: SteerOptions): Omit<ReplaySkip, keyof ReplayControl> {
  const given = [route, fingerprint, id].filter((value) => value !== undefined);
  if (given.length !== 1)
    throw usage(
      given.length === 0 ? 'Nothing says what to skip.' : 'More than one thing says what to skip.',
      'Exactly one of --route, --fingerprint and --id; the last may be repeated.',
    );
  if (route !== undefined) return { route };
  if (fingerprint !== undefined) return { fingerprint };
  return { ids: uuids(id ?? []) };
}

/** @throws SluiceError `replay_invalid` */
function rateOf(text: string): number | null {
  if (text === 'unlimited') return null;
  const rate = /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (rate > 0 && rate <= HIGHEST_RATE) return rate;
  throw new SluiceError('replay_invalid', {
    what: `The rate ${text} is none.`,
    expected: `Letters per second, more than 0 and at most ${HIGHEST_RATE}, or unlimited.`,
    safe: 'Nothing was changed; the replay goes on as it was.',
  });
}

/** Letters per second that the run takes. */
const HIGHEST_RATE = 100_000;

function noneOpen(planHash: string, target: string): SluiceError {
  const short = planHash.slice(0, 16);
  return new SluiceError('run_not_found', {
    what: `No run of plan ${short} is open on target ${target}.`,
    expected: `A run that is open; sluice dead-letter replay show ${short} --target ${target} tells how the last one ended.`,
    safe: 'Nothing was changed.',
  });
}
