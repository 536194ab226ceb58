import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { NO_DELIVERY } from '../../config/delivery-config.ts';
import { REPLAY_DEFAULTS, type ReplayProgress, type ReplaySlice } from '../../contracts/replay.ts';
import { deliveryRegistry } from '../../delivery/delivery-registry.ts';
import { planReplay } from '../../replay/plan-replay.ts';
import { replayLoop } from '../../replay/replay-loop.ts';
import { replayOnce } from '../../replay/replay-once.ts';
import { askFunction } from '../../target/ask-function.ts';
import { inTransaction, type TransactionMode } from '../../target/in-transaction.ts';
import { deliver } from '../delivery/deliveries.ts';
import { LIMITS } from '../drain/install-iu-core.ts';
import type { ROUTES } from './install-replay.ts';

/** Pause of the deliveries beside a replay, as the activity has it. */
const IDLE_MS = 100;
/** Far away: what is tried at once never exceeds it by more than one letter. */
const FAILURE_LIMIT = 1_000_000_000;
const PLANNER = ['bench', 'the target was mended'] as const;
const APPROVER = ['bench-approver', 'looks right'] as const;

export interface ReplayLettersOptions {
  readonly url: string;
  readonly route: (typeof ROUTES)[keyof typeof ROUTES];
  readonly batch: number;
  /** Requests in flight. */
  readonly concurrency: number;
  /** How long making the plan may take, in milliseconds. */
  readonly planTimeoutMs?: number;
  readonly report?: (progress: ReplayProgress) => void;
}

export interface Replayed {
  readonly progress: ReplayProgress;
  /** Of making the plan and approving it. */
  readonly planSeconds: number;
  /** From its opening to its closing. */
  readonly runSeconds: number;
}

/**
 * Replays every letter of a route as the workflow does, without Temporal: makes the plan (no canary, no rate), approves and
 * opens it, runs slices of the replay's activity until it ends, and closes it.
 *
 * @throws Error unless each letter of the plan was resolved
 */
export async function replayLetters(client: pg.Client, options: ReplayLettersOptions): Promise<Replayed> {
  const { url, route, batch, concurrency, report } = options;
  const transact = <T>(mode: TransactionMode, work: () => Promise<T>, limits = LIMITS) =>
    inTransaction(client, mode, limits, work);
  const ask = <T>(call: string, values: readonly unknown[]) =>
    transact('read write', () => askFunction<T>(client, call, values));
  const seconds = stopwatch();

  const { planHash } = await planReplay({
    client,
    transact: (mode, work) =>
      transact(mode, work, {
        ...LIMITS,
        statementTimeoutMs: options.planTimeoutMs ?? LIMITS.statementTimeoutMs,
      }),
    target: { name: 'bench', delivery: NO_DELIVERY },
    registry: deliveryRegistry(),
    samples: 0,
    filter: { routes: [route] },
    policy: { canary: 0, ratePerSecond: null, failureLimit: FAILURE_LIMIT },
    actor: PLANNER[0],
    reason: PLANNER[1],
  });
  if (planHash === null) throw new Error(`there is nothing to replay for route ${route}`);
  await ask('fn_iu_replay_approve($1, $2, $3)', [planHash, ...APPROVER]);
  const planSeconds = seconds();

  const runId = randomUUID();
  await ask('fn_iu_replay_open($1, $2, $3, $4)', [
    planHash,
    JSON.stringify({
      workflowId: `replay/bench/${planHash.slice(0, 16)}`,
      runId,
      temporalNamespace: 'none',
      temporalAddress: 'none',
      temporalClusterId: 'none',
    }),
    ...PLANNER,
  ]);

  const { signal } = new AbortController();
  let slice: ReplaySlice;
  do {
    slice = await replayLoop({
      step: (limit) =>
        replayOnce(client, transact, limit, {
          planHash,
          runId,
          until: 'end',
          window: REPLAY_DEFAULTS.window,
          statementTimeoutMs: LIMITS.statementTimeoutMs,
          letterTimeoutMs: REPLAY_DEFAULTS.letterTimeoutMs,
          signal,
        }),
      deliver: ({ forMs, ending, signal: stopped }) =>
        deliver(url, concurrency, { forMs, sliceMs: forMs, idleMs: IDLE_MS, ending, signal: stopped }),
      batchSize: batch,
      sliceMs: REPLAY_DEFAULTS.sliceMs,
      shownHold: null,
      signal,
      ...(report === undefined ? {} : { report }),
    });
  } while (slice.ended === 'slice');
  const progress = await ask<ReplayProgress>('fn_iu_replay_close($1, $2, $3, $4)', [
    planHash,
    runId,
    slice.ended,
    slice.because,
  ]);
  if (progress.state !== 'executed' || progress.resolved !== progress.letters)
    throw new Error(`the replay ended so: ${JSON.stringify(progress)}`);
  return { progress, planSeconds, runSeconds: seconds() };
}

/** Seconds since it was read last. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const before = last;
    last = performance.now();
    return (last - before) / 1_000;
  };
}
