import {
  allHandlersFinished,
  CancellationScope,
  CancelledFailure,
  condition,
  continueAsNew,
  isCancellation,
  workflowInfo,
} from '@temporalio/workflow';
import {
  type CloseReplayInput,
  holdOf,
  REPLAY_DEFAULTS,
  type ReplayInput,
  type ReplayResult,
  type ReplaySlice,
} from '../contracts/replay.ts';
import { explain, fail } from './fail.ts';
import { replayActivities, replaySlices, told, toldDeliverer } from './replay-activities.ts';
import { installReplayControls, type ReplayControls } from './replay-controls.ts';
import { ReplayState } from './replay-state.ts';

/** How long a cancelled run waits for what is in flight, in milliseconds. */
const SETTLE_WITHIN_MS = 60_000;

/** How a run of the chain ends. */
type End =
  | { readonly how: 'continues' }
  | { readonly how: 'cancelled' }
  | { readonly how: 'done'; readonly outcome: ReplayResult['outcome']; readonly because: string | null };

/**
 * Replays the dead letters of a frozen plan, in slices that are activities of the delivery task queue. All that matters is
 * in the target's rows, so a run that is lost, cancelled or terminated is carried on by the next one of the same plan, and
 * nothing is repeated. It continues as new after `slicesPerRun` slices; a child never does, its slices are longer instead.
 *
 * `hold`, `release`, `skip` and `setRate` are updates. A cancellation settles what is in flight, for a minute at most, and
 * leaves the rest open.
 *
 * @throws a failure whose type is the error's code: `replay_stale`, `replay_under_way`, `replay_overlaps` …
 */
export async function replayDeadLetters(input: ReplayInput): Promise<ReplayResult> {
  assertInput(input);
  const state = new ReplayState(input);
  const controls = installReplayControls(state);
  if (input.carried === undefined) await open(state);
  const root = CancellationScope.current();
  const isCancelled = () => root.consideredCancelled;
  // What the cancellation of the workflow does is decided here, and reaches no activity by itself.
  return CancellationScope.nonCancellable(async () => {
    try {
      const end = await replay(state, controls, isCancelled);
      if (end.how === 'done') return await finish(state, end.outcome, end.because);
      if (end.how === 'cancelled') {
        await close(state, 'cancelled', null);
        throw new CancelledFailure('the replay was cancelled', [state.progress]);
      }
    } catch (error) {
      const { type, message } = explain(error);
      // What cannot be closed is taken over by the next run.
      if (!state.isEnding) await close(state, 'failed', message).catch(() => undefined);
      if (error instanceof CancelledFailure) throw error;
      throw fail(type, message, [state.progress]);
    }
    const { runId, runs, planHash, progress: total } = state;
    if (planHash === null) throw fail('unexpected', 'a replay continues that was not opened');
    return continueAsNew<typeof replayDeadLetters>({
      ...input,
      planHash,
      carried: { planHash, total, runs: runs + 1, runId },
    });
  });
}

async function open(state: ReplayState): Promise<void> {
  const { target, planHash, actor, reason } = state.input;
  try {
    const opened = await replayActivities.openReplay.executeWithOptions(told('Open the plan'), [
      { target, planHash, actor, reason },
    ]);
    state.open(opened.planHash, opened.progress);
  } catch (error) {
    state.isEnding = true;
    state.setPhase(isCancellation(error) ? 'cancelled' : 'failed', explain(error).message);
    await CancellationScope.nonCancellable(() => condition(allHandlersFinished));
    if (isCancellation(error)) throw error;
    const { type, message } = explain(error);
    throw fail(type, message);
  }
}

/** Slice after slice, until the run ends or continues as new. */
async function replay(
  state: ReplayState,
  controls: ReplayControls,
  isCancelled: () => boolean,
): Promise<End> {
  // A parent's cancellation reaches the run that it started and none that continues it as new, so a child stays one.
  const isChild = workflowInfo().parent !== undefined;
  const { slicesPerRun = REPLAY_DEFAULTS.slicesPerRun } = state.input;
  const isFull = (slices: number) =>
    !isChild && (slices >= slicesPerRun || workflowInfo().continueAsNewSuggested);
  let settlesUntilMs: number | undefined;
  const settling = async () => {
    if (settlesUntilMs !== undefined) return settlesUntilMs;
    state.setPhase('cancelling');
    // Where it is refused, the run has ended meanwhile, and the slice says how.
    await controls.cancel().catch(() => undefined);
    settlesUntilMs = Date.now() + SETTLE_WITHIN_MS;
    return settlesUntilMs;
  };
  for (let slices = 1; ; slices += 1) {
    if (isCancelled()) await settling();
    const { released } = state;
    const slice = await runSlice(state, slices, async (hasEnded, stop) => {
      await condition(() => hasEnded() || isCancelled());
      if (hasEnded()) return;
      const leftMs = (await settling()) - Date.now();
      if (!(await condition(hasEnded, Math.max(1, leftMs)))) stop();
    });
    if (slice === undefined || slice.ended === 'cancelled') return { how: 'cancelled' };
    const { ended, because } = slice;
    if (ended !== 'slice' && ended !== 'held') return { how: 'done', outcome: ended, because };
    if (settlesUntilMs !== undefined && Date.now() >= settlesUntilMs) return { how: 'cancelled' };
    // A release that came in while the slice was at work may be the newer one: the next slice looks again.
    if (ended === 'held') await condition(() => state.released !== released || isCancelled() || isFull(0));
    if (isCancelled() || !isFull(slices)) continue;
    await condition(allHandlersFinished);
    if (!isCancelled()) return { how: 'continues' };
  }
}

/**
 * One slice. Undefined where it was stopped and did not say how far it came.
 *
 * @param watch may stop the slice while it is at work; the slice is waited for all the same
 */
async function runSlice(
  state: ReplayState,
  place: number,
  watch: (hasEnded: () => boolean, stop: () => void) => Promise<void>,
): Promise<ReplaySlice | undefined> {
  const { input, planHash, runId, steered, progress } = state;
  if (planHash === null) throw fail('unexpected', 'a replay has a slice before it is open');
  const { target, until = 'end', batchSize = REPLAY_DEFAULTS.batchSize } = input;
  const isChild = workflowInfo().parent !== undefined;
  const sliceMs = input.sliceMs ?? REPLAY_DEFAULTS[isChild ? 'childSliceMs' : 'sliceMs'];
  const shownHold = holdOf(progress);
  const asked = { target, planHash, runId, until, sliceMs, batchSize, shownHold };
  let hasEnded = false;
  let isStopped = false;
  const scope = new CancellationScope();
  const work = scope
    .run(() => replaySlices.replaySlice.executeWithOptions(toldDeliverer(`Slice ${place}`), [asked]))
    .then(
      (slice) => ({ slice }),
      (error: unknown) => ({ error }),
    )
    .finally(() => {
      hasEnded = true;
    });
  await watch(
    () => hasEnded,
    () => {
      isStopped = true;
      scope.cancel();
    },
  );
  const done = await work;
  if ('error' in done) {
    if (isStopped) return undefined;
    throw done.error;
  }
  const { ended: _, because: __, ...found } = done.slice;
  state.afterSlice(found, steered);
  return done.slice;
}

async function finish(
  state: ReplayState,
  outcome: ReplayResult['outcome'],
  because: string | null,
): Promise<ReplayResult> {
  await close(state, outcome, because);
  return { ...state.progress, outcome, because };
}

/** Ends the run in the target; nothing steers it from here on. */
async function close(
  state: ReplayState,
  outcome: CloseReplayInput['outcome'],
  because: string | null,
): Promise<void> {
  const { input, planHash, runId } = state;
  if (planHash === null) return;
  state.isEnding = true;
  await condition(allHandlersFinished);
  state.progress = await replayActivities.closeReplay.executeWithOptions(told(`Close: ${outcome}`), [
    { target: input.target, planHash, runId, outcome, because },
  ]);
  state.setPhase(outcome, because);
}

function assertInput(input: ReplayInput): void {
  for (const field of ['target', 'actor', 'reason'] as const) {
    const value: unknown = input?.[field];
    if (typeof value !== 'string' || value.trim() === '')
      throw fail(
        'usage',
        `"${field}" is missing or empty. Expected: an object {"target", "planHash", "actor", "reason"}. Nothing was changed.`,
      );
  }
}
