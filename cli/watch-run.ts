import { setTimeout as delay } from 'node:timers/promises';
import { awaitOutcome } from '../client/await-outcome.ts';
import { STATUS_QUERY } from '../contracts/control.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import type { MacroStatus } from '../contracts/macro-run.ts';
import type { Context } from './context.ts';
import { explainTemporalError } from './explain-temporal-error.ts';
import type { LocatedRun } from './locate-run.ts';
import { exitOfRun, type RunView, readRun, viewOf } from './run-view.ts';
import { CALL_MS } from './temporal-access.ts';

export interface WatchRunOptions {
  /** Milliseconds after which watching ends; the run goes on. */
  readonly timeoutMs?: number | undefined;
  /** Whether watching goes on while the run waits for a person. */
  readonly stay: boolean;
  /** Aborting ends the watching; the run goes on. */
  readonly signal?: AbortSignal;
  /** Called with every new status. */
  readonly onStatus?: (run: RunView) => void;
  /** Told when nothing answers, and when something does again. */
  readonly onSilence?: (why: string | null) => void;
}

export interface Watched {
  readonly why: 'ended' | 'waits' | 'timeout' | 'interrupted';
  /** Null where the run never answered. */
  readonly run: RunView | null;
  readonly exit: ExitCode;
}

/** Pause between two looks, in milliseconds. */
const EVERY_MS = 400;
/** How long nothing may answer before watching gives up, in milliseconds; the run goes on. */
const SILENCE_MS = 90_000;

/**
 * Follows a run until it ends, waits for a person, or the time is over. Never changes the run. A server or worker
 * that is away for a while is waited for.
 *
 * @throws SluiceError `temporal_unreachable` after 90 s without an answer, and what a run failed with that never opened
 */
export async function watchRun(
  context: Context,
  run: LocatedRun,
  options: WatchRunOptions,
): Promise<Watched> {
  const until = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : Date.now() + options.timeoutMs;
  const aborted = abortion(options.signal);
  let view: RunView | null = null;
  let answeredAt = Date.now();
  while (true) {
    const looked = await Promise.race([look(context, run), aborted]);
    if (looked === null) return { why: 'interrupted', run: view, exit: EXIT.interrupted };
    if (looked instanceof Error) {
      if (Date.now() - answeredAt > SILENCE_MS) throw looked;
      options.onSilence?.(looked.message);
    } else {
      answeredAt = Date.now();
      options.onSilence?.(null);
      view = looked.view;
      options.onStatus?.(view);
      if (looked.ended) return { why: 'ended', run: view, exit: exitOfRun(view) };
      if (view.waitsFor !== null && !options.stay) return { why: 'waits', run: view, exit: EXIT.waiting };
    }
    if (Date.now() >= until) return { why: 'timeout', run: view, exit: EXIT.waiting };
    await delay(Math.min(EVERY_MS, Math.max(0, until - Date.now())), undefined, {
      ...(options.signal && { signal: options.signal }),
    }).catch(() => undefined);
  }
}

/** Resolves to null when the signal aborts. */
function abortion(signal: AbortSignal | undefined): Promise<null> {
  return new Promise((resolve) => {
    if (signal?.aborted) resolve(null);
    signal?.addEventListener('abort', () => resolve(null), { once: true });
  });
}

/** One look at the run; an Error where nothing answers now and that may pass. */
async function look(context: Context, run: LocatedRun): Promise<{ view: RunView; ended: boolean } | Error> {
  const { temporal, handle } = run;
  try {
    if (!run.isOpen) return { view: await readRun(context, run), ended: true };
    const state = await temporal.within(CALL_MS, () => handle.describe());
    if (state.status.name === 'TERMINATED') {
      return {
        view: await readRun(context, { ...run, isOpen: false, workflowState: 'TERMINATED' }),
        ended: true,
      };
    }
    const isOpen = state.status.name === 'RUNNING';
    const read = () => (isOpen ? handle.query<MacroStatus>(STATUS_QUERY) : awaitOutcome(handle));
    return { view: viewOf(run, await temporal.within(CALL_MS, read)), ended: !isOpen };
  } catch (error) {
    const told = explainTemporalError(error);
    if (told?.code === 'temporal_unreachable') return new SluiceError(told.code, told, { cause: error });
    throw error;
  }
}
