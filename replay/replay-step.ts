import type { ReplayProgress } from '../contracts/replay.ts';

/** What `fn_iu_replay_step` answers. */
export interface ReplayStep {
  /**
   * working: more may be taken at once; waiting: for deliveries in flight, or for repeats that are not due; held: by a person
   * or a gate. The others end the run.
   */
  readonly status: 'working' | 'waiting' | 'held' | 'stopped' | 'canary_passed' | 'executed' | 'cancelled';
  readonly because: string | null;
  /** Letters that were tried, or queued. */
  readonly taken: number;
  /** Milliseconds until the next repeat is due. */
  readonly dueInMs: number | null;
  readonly usesQueue: boolean;
  readonly progress: ReplayProgress;
}
