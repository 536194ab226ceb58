import { setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import { holdOf, type ReplayInput, type ReplayProgress, type ReplayResult } from '../contracts/replay.ts';
import { renderReplayDetails } from './replay-details.ts';

export type ReplayPhase =
  | 'opening'
  | 'replaying'
  | 'held'
  | 'cancelling'
  | 'cancelled'
  | 'failed'
  | ReplayResult['outcome'];

/** What a run of a replay knows of itself, and what the Temporal UI shows of it. */
export class ReplayState {
  readonly input: ReplayInput;
  /** Temporal's id of the first run of the chain, by which the target knows the run. */
  readonly runId: string;
  /** Runs of the chain before this one. */
  readonly runs: number;
  /** Null until the plan is open. */
  planHash: string | null;
  progress: ReplayProgress;
  /** Updates and a cancellation that the target has taken, and those of them that release a hold. */
  steered = 0;
  released = 0;
  /** Nothing steers it any more. */
  isEnding = false;
  #phase: ReplayPhase;
  #because: string | null = null;

  constructor(input: ReplayInput) {
    const { carried } = input;
    this.input = input;
    this.runId = carried?.runId ?? workflowInfo().runId;
    this.runs = carried?.runs ?? 0;
    this.planHash = carried?.planHash ?? null;
    this.progress = carried?.total ?? unknown(input.planHash);
    this.#phase = carried === undefined ? 'opening' : 'replaying';
    this.show();
  }

  open(planHash: string, progress: ReplayProgress): void {
    this.planHash = planHash;
    this.progress = progress;
    this.setPhase('replaying');
  }

  setPhase(phase: ReplayPhase, because: string | null = null): void {
    this.#phase = phase;
    this.#because = because;
    this.show();
  }

  /** What an update found when it was done. */
  afterSteering(progress: ReplayProgress, isRelease: boolean): void {
    this.steered += 1;
    if (isRelease) this.released += 1;
    this.progress = latest(this.progress, progress);
    this.#followHold();
  }

  /**
   * What a slice found at its end.
   *
   * @param steeredBefore {@link steered} when it began: where that has grown, nobody knows which of the two came later,
   * so rate and hold stay as they were steered, until the next slice ends
   */
  afterSlice(progress: ReplayProgress, steeredBefore: number): void {
    const { ratePerSecond, heldBy, heldBecause } = this.progress;
    const isOvertaken = this.steered !== steeredBefore;
    const found = isOvertaken ? { ...progress, ratePerSecond, heldBy, heldBecause } : progress;
    this.progress = latest(this.progress, found);
    this.#followHold();
  }

  show(): void {
    setCurrentDetails(
      renderReplayDetails({
        target: this.input.target,
        phase: this.#phase,
        because: this.#because,
        progress: this.progress,
        runs: this.runs,
      }),
    );
  }

  #followHold(): void {
    if (this.#phase === 'replaying' || this.#phase === 'held')
      this.#phase = holdOf(this.progress) === null ? 'replaying' : 'held';
    this.show();
  }
}

/** Counts only grow; where an older answer comes in later, its counts are dropped. */
function latest(known: ReplayProgress, found: ReplayProgress): ReplayProgress {
  if (settled(found) >= settled(known)) return found;
  const { ratePerSecond, heldBy, heldBecause } = found;
  return { ...known, ratePerSecond, heldBy, heldBecause };
}

function settled({ resolved, failed, skipped, tries }: ReplayProgress): number {
  return resolved + failed + skipped + tries;
}

/** Before the plan is open. */
function unknown(planHash: string | null): ReplayProgress {
  return {
    planHash: planHash ?? '',
    state: 'planned',
    letters: 0,
    resolved: 0,
    failed: 0,
    skipped: 0,
    inFlight: 0,
    waiting: 0,
    tries: 0,
    canary: 'none',
    ratePerSecond: null,
    heldBy: null,
    heldBecause: null,
  };
}
