import { setTimeout as delay } from 'node:timers/promises';
import { holdOf, REPLAY_DEFAULTS, type ReplayProgress, type ReplaySlice } from '../contracts/replay.ts';
import { Delivering, type DeliveringOptions } from './delivering.ts';
import { Pace } from './pace.ts';
import type { ReplayStep } from './replay-step.ts';

/** Pause between two looks at deliveries in flight, in milliseconds: it doubles while nothing changes. */
const SHORTEST_LOOK_MS = 50;
const LONGEST_LOOK_MS = 250;
/** The longest pause of a run that nobody holds, in milliseconds: so soon it knows that it is held or cancelled. */
const LONGEST_PAUSE_MS = 1_000;
/** The shortest pause after a batch in which nothing was tried. */
const SHORTEST_PAUSE_MS = 10;

export interface ReplayLoopOptions {
  /** One batch: up to so many letters, in transactions of its own. 0 only looks. */
  readonly step: (limit: number) => Promise<ReplayStep>;
  /** Delivers what is queued. */
  readonly deliver: (options: DeliveringOptions) => Promise<unknown>;
  /** Letters of one batch. */
  readonly batchSize: number;
  readonly sliceMs: number;
  /** The hold that is known already ({@link holdOf}). */
  readonly shownHold: string | null;
  /** Ends the loop after the batch at work, once what is in flight is settled. */
  readonly signal: AbortSignal;
  readonly report?: (progress: ReplayProgress) => void;
}

/**
 * Replays batch by batch at the plan's rate, with deliveries made beside it where the plan needs them. It ends with the run,
 * with a hold by a person, after `sliceMs`, or when what holds it is no longer what is known: a gate that stays closed is
 * looked at again every {@link REPLAY_DEFAULTS.lookAgainMs}.
 *
 * @returns the progress of the rows
 * @throws what a step or a delivery throws, once what is in flight is settled
 */
export async function replayLoop(options: ReplayLoopOptions): Promise<ReplaySlice> {
  const { step, batchSize, sliceMs, shownHold, signal, report } = options;
  const endsAtMs = performance.now() + sliceMs;
  const leftMs = () => endsAtMs - performance.now();
  const pace = new Pace();
  const delivering = new Delivering(options.deliver, signal);
  const look = async (limit: number): Promise<ReplayStep> => {
    const found = await step(limit);
    delivering.broken.throwIfAborted();
    pace.set(found.progress.ratePerSecond);
    pace.spend(found.taken);
    report?.(found.progress);
    return found;
  };
  const looks = new Looks();
  const waking = AbortSignal.any([signal, delivering.broken]);
  try {
    // The first batch is one letter: the rate is not known before it.
    for (let limit = 1; ; limit = pace.take(batchSize)) {
      const found = await look(limit);
      const end = endOf(found, shownHold);
      if (end !== null) return { ...found.progress, ended: end, because: found.because };
      if (signal.aborted || leftMs() <= 0) {
        if (!delivering.hasStarted) return { ...found.progress, ended: 'slice', because: null };
        await delivering.ended();
        const last = await look(0);
        return { ...last.progress, ended: endOf(last, shownHold) ?? 'slice', because: last.because };
      }
      // Somebody holds it or cancels it, or its limit is exceeded: it waits only for what is in flight.
      if (found.status === 'waiting' && found.because !== null) delivering.end();
      // It goes on all the same, and so the next slice delivers.
      else if (delivering.isEnding) return { ...found.progress, ended: 'slice', because: null };
      else if (found.usesQueue && (found.status !== 'held' || found.progress.inFlight > 0))
        delivering.start(leftMs());
      const pauseMs = looks.pauseMs(found, pace.waitMs(batchSize));
      if (pauseMs > 0) await sleep(Math.min(pauseMs, leftMs()), waking);
      delivering.broken.throwIfAborted();
    }
  } finally {
    await delivering.ended();
  }
}

/** How the slice ends with what a step found; null: it goes on. */
function endOf({ status, progress }: ReplayStep, shownHold: string | null): ReplaySlice['ended'] | null {
  if (status === 'held' && progress.heldBy !== GATE) return 'held';
  if (status === 'held' || status === 'working' || status === 'waiting')
    return holdOf(progress) === shownHold ? null : 'slice';
  return status;
}

/** Who holds a replay that a gate does. */
const GATE = 'gate';

/** How long to pause between two looks. */
class Looks {
  #patienceMs = SHORTEST_LOOK_MS;
  #seen = '';

  /** @param paceMs until the rate allows for a batch */
  pauseMs({ status, taken, dueInMs, progress }: ReplayStep, paceMs: number): number {
    const { inFlight, resolved, failed } = progress;
    if (status === 'held') return inFlight > 0 ? LONGEST_PAUSE_MS : REPLAY_DEFAULTS.lookAgainMs;
    const seen = `${inFlight} ${resolved} ${failed}`;
    this.#patienceMs =
      seen === this.#seen ? Math.min(LONGEST_LOOK_MS, this.#patienceMs * 2) : SHORTEST_LOOK_MS;
    this.#seen = seen;
    const longestMs = inFlight > 0 ? this.#patienceMs : LONGEST_PAUSE_MS;
    if (status === 'working')
      return Math.min(longestMs, Math.max(paceMs, taken === 0 ? SHORTEST_PAUSE_MS : 0));
    return Math.max(SHORTEST_PAUSE_MS, Math.min(longestMs, dueInMs ?? longestMs));
  }
}

/** A pause that a signal ends. */
async function sleep(milliseconds: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(0, milliseconds), undefined, { signal }).catch((error: unknown) => {
    if (!signal.aborted) throw error;
  });
}
