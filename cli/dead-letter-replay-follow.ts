import { setTimeout as delay } from 'node:timers/promises';
import { type ErrorCodeName, SluiceError } from '../contracts/error-codes.ts';
import type { ReplayResult } from '../contracts/replay.ts';
import type { ReplayReading } from '../evidence/replay-report.ts';
import type { Context } from './context.ts';
import { readPlan } from './dead-letter-find-plan.ts';
import { asked, described, type ReplayWorkflow } from './dead-letter-replay-workflow.ts';
import { withIuCore } from './iu-core.ts';
import { CALL_MS } from './temporal-access.ts';

export interface FollowReplayOptions {
  /** Milliseconds after which following ends; the run goes on. */
  readonly timeoutMs?: number | undefined;
  /** Aborting ends the following; the run goes on. */
  readonly signal: AbortSignal;
  /** Ends as soon as this is so. */
  readonly isEnough?: (reading: ReplayReading) => boolean;
  /** Called with every look. */
  readonly onReading?: (reading: ReplayReading) => void;
  /** Told when nothing answers, and when something does again. */
  readonly onSilence?: (why: string | null) => void;
}

export interface FollowedReplay {
  readonly why: 'ended' | 'enough' | 'timeout' | 'interrupted';
  /** Null where the run has not ended, and where nothing was read of it. */
  readonly ended: {
    readonly outcome: ReplayResult['outcome'] | 'cancelled';
    readonly because: string | null;
  } | null;
  /** Null where it was interrupted before the first look. */
  readonly reading: ReplayReading | null;
}

/** Pause between two looks, in milliseconds. */
const EVERY_MS = 500;
/** How long nothing may answer before following gives up, in milliseconds; the run goes on. */
const SILENCE_MS = 90_000;
const PASSES: ReadonlySet<ErrorCodeName> = new Set([
  'temporal_unreachable',
  'target_unreachable',
  'transient',
  'lock_timeout',
]);

/**
 * Follows the newest run of a plan until it ends, by the rows of the target and the state of the workflow. Never changes
 * the run. A server that is away for a while is waited for.
 *
 * @throws SluiceError what the run failed with: `replay_stale`, `replay_not_approved` …; `run_terminated`; `run_not_found`
 */
export async function followReplay(
  context: Context,
  workflow: ReplayWorkflow,
  options: FollowReplayOptions,
): Promise<FollowedReplay> {
  const until = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeoutMs;
  const seen: { reading: ReplayReading | null; at: number } = { reading: null, at: Date.now() };
  const pause = () => delay(EVERY_MS, undefined, { signal: options.signal }).catch(() => undefined);
  while (!options.signal.aborted) {
    try {
      return await withIuCore(context, 'follow a replay', async ({ client, transact }) => {
        while (!options.signal.aborted) {
          const state = await described(workflow);
          const reading = await transact('read only', () => readPlan(client, workflow.planHash));
          Object.assign(seen, { reading, at: Date.now() });
          options.onSilence?.(null);
          options.onReading?.(reading);
          if (state === null) throw notStarted(workflow);
          if (state.status !== 'RUNNING' && state.status !== 'CONTINUED_AS_NEW')
            return { why: 'ended', ended: await endOf(workflow, state.status), reading };
          if (options.isEnough?.(reading) === true) return { why: 'enough', ended: null, reading };
          if (Date.now() >= until) return { why: 'timeout', ended: null, reading };
          await pause();
        }
        return { why: 'interrupted', ended: null, reading: seen.reading };
      });
    } catch (error) {
      if (!(error instanceof SluiceError) || !PASSES.has(error.code) || Date.now() - seen.at > SILENCE_MS)
        throw error;
      options.onSilence?.(error.text.what);
      await pause();
    }
  }
  return { why: 'interrupted', ended: null, reading: seen.reading };
}

async function endOf(workflow: ReplayWorkflow, status: string): Promise<FollowedReplay['ended']> {
  const { temporal, handle, planHash } = workflow;
  if (status === 'CANCELLED') return { outcome: 'cancelled', because: null };
  if (status === 'TERMINATED' || status === 'TIMED_OUT')
    throw new SluiceError('run_terminated', {
      what: `The run of plan ${planHash.slice(0, 16)} was terminated in Temporal.`,
      expected: 'A cancellation settles what is in flight; a termination does not.',
      safe: `No letter is lost or tried twice: sluice dead-letter replay ${planHash.slice(0, 16)} goes on with it.`,
    });
  const { outcome, because } = await asked(() =>
    temporal.within(CALL_MS, () => handle.result() as Promise<ReplayResult>),
  );
  return { outcome, because };
}

function notStarted({ planHash }: ReplayWorkflow): SluiceError {
  return new SluiceError('run_not_found', {
    what: `Temporal knows no run of plan ${planHash.slice(0, 16)}.`,
    expected: `sluice dead-letter replay ${planHash.slice(0, 16)} starts one.`,
    safe: 'Nothing was changed.',
  });
}
