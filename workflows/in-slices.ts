import {
  allHandlersFinished,
  CancellationScope,
  CancelledFailure,
  condition,
  defineQuery,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { STATUS_QUERY } from '../contracts/control.ts';

/** What a run hands on when it continues as new. */
export interface Carried<R> {
  readonly total: R;
  /** When `forMs` is over, in milliseconds since 1970. */
  readonly endsAtMs: number;
  /** Runs of the chain before this one. */
  readonly runs: number;
}

export interface SlicedInput<R> {
  readonly forMs: number;
  readonly sliceMs?: number;
  readonly slicesPerRun?: number;
  readonly carried?: Carried<R>;
}

export interface SlicedWork<R> {
  readonly defaults: {
    readonly sliceMs: number;
    readonly childSliceMs: number;
    readonly slicesPerRun: number;
  };
  readonly nothing: R;
  /** For the failure of a cancelled run, such as `the drain`. */
  readonly name: string;
  /** One activity. It returns what it has counted when it is cancelled, too. */
  slice(limits: {
    readonly sliceMs: number;
    readonly forMs: number;
  }): Promise<R & { readonly isDone: boolean }>;
  add(before: R, after: R): R;
  /** Sets the current details; `state` is working, ended or cancelled. */
  show(total: R, runs: number, state: 'working' | 'ended' | 'cancelled'): void;
  continueAsNew(carried: Carried<R>): Promise<never>;
}

/**
 * Work in slices, each one activity, so that history grows with time and never with what is done. After `slicesPerRun`
 * slices it continues as new, unless it is a child, whose slices are longer instead; the result and the query `status`
 * count the whole chain of runs.
 */
export async function inSlices<R>(input: SlicedInput<R>, work: SlicedWork<R>): Promise<R> {
  const { defaults } = work;
  // A parent's cancellation reaches the run that it started and none that continues it as new, so a child stays one.
  const isChild = workflowInfo().parent !== undefined;
  const { carried, slicesPerRun = defaults.slicesPerRun } = input;
  const sliceMs = input.sliceMs ?? (isChild ? defaults.childSliceMs : defaults.sliceMs);
  const endsAtMs = carried?.endsAtMs ?? Date.now() + input.forMs;
  const runs = carried?.runs ?? 0;
  let total = carried?.total ?? work.nothing;
  setHandler(defineQuery<R>(STATUS_QUERY), () => total);
  work.show(total, runs, 'working');
  for (let slices = 1; ; slices += 1) {
    const forMs = Math.max(0, endsAtMs - Date.now());
    const part = await work.slice({ sliceMs, forMs }).catch((error: unknown) => {
      if (!CancellationScope.current().consideredCancelled) throw error;
    });
    if (part !== undefined) total = work.add(total, part);
    if (part === undefined || CancellationScope.current().consideredCancelled) {
      work.show(total, runs, 'cancelled');
      throw new CancelledFailure(`${work.name} was cancelled`, [total]);
    }
    if (part.isDone) {
      work.show(total, runs, 'ended');
      return total;
    }
    work.show(total, runs, 'working');
    if (!isChild && (slices >= slicesPerRun || workflowInfo().continueAsNewSuggested)) {
      await condition(allHandlersFinished);
      return work.continueAsNew({ total, endsAtMs, runs: runs + 1 });
    }
  }
}
