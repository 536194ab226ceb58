import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { replayWorkflowId } from '../../../contracts/names.ts';
import type { ReplayInput, ReplayPolicy, ReplayResult } from '../../../contracts/replay.ts';
import { ask } from '../../sql-worker/support/worker.ts';
import { connected } from '../chaos-database.ts';
import { seededRandom } from '../seeded-random.ts';
import { CHAOS_POLICY } from './expected.ts';
import { installReplaying, makeLetters } from './make-letters.ts';
import { readChain } from './read-chain.ts';
import { emptySamples, type Samples, sampleProgress } from './sample-progress.ts';
import { type ReplayStack, startReplayStack } from './stack.ts';
import { type ReplayVerdict, replayVerdict } from './verdict.ts';

export interface ReplayChaosOptions {
  readonly seed: number;
  /** A fifth of them for each route. */
  readonly letters: number;
  /** Bundle of the workflows. */
  readonly bundlePath: string;
  readonly ratePerSecond: number;
  /** A worker is killed so long after the one before it, give or take a fifth, in milliseconds. */
  readonly killEveryMs: number;
  /** A worker is at work for so long at least before it is killed, in milliseconds. */
  readonly workMs: number;
  /** Workers that are killed at most; the one after them is left in peace. */
  readonly mostKills?: number;
  readonly sliceMs: number;
  readonly slicesPerRun: number;
  readonly sampleEveryMs: number;
  readonly progress?: (line: string) => void;
  /** Told of the servers, for whoever has to end them in a hurry. */
  readonly started?: (stack: ReplayStack) => void;
}

export interface ReplayChaosReport {
  readonly seed: number;
  readonly kills: number;
  readonly crashes: number;
  readonly restarts: number;
  /** How the run ended, and what it answered. */
  readonly status: string;
  readonly result: ReplayResult | null;
  readonly samples: Samples;
  /** Events of each run of the chain. */
  readonly chain: readonly number[];
  readonly verdict: ReplayVerdict;
  readonly seconds: { readonly making: number; readonly replaying: number; readonly all: number };
}

/** Makes letters, and replays them while the worker is killed again and again, and both servers are lost once. */
export async function runReplayChaos(options: ReplayChaosOptions): Promise<ReplayChaosReport> {
  const startedAt = performance.now();
  const seconds = () => Math.round((performance.now() - startedAt) / 100) / 10;
  const stack = await startReplayStack(options.bundlePath);
  options.started?.(stack);
  try {
    const { url, receiver, client, target, taskQueue } = stack;
    await connected(url, async (sql) => {
      await installReplaying(sql);
      await makeLetters({ sql, url, receiver, letters: options.letters });
    });
    const planHash = await connected(url, (sql) => approvedPlan(sql, options.ratePerSecond));
    const making = seconds();
    options.progress?.(`${making} s: ${options.letters} letters, plan ${planHash.slice(0, 16)}`);
    const arrivedBefore = receiver.arrivals.length;
    const workflowId = replayWorkflowId(target, planHash);
    const { sliceMs, slicesPerRun } = options;
    const input: ReplayInput = { target, planHash, actor: 'ana', reason: 'chaos', sliceMs, slicesPerRun };
    const handle = await client.workflow.start<(input: ReplayInput) => Promise<ReplayResult>>(
      'replayDeadLetters',
      { workflowId, taskQueue, args: [input] },
    );
    const samples = emptySamples();
    let status: string | undefined;
    const isOver = () => status !== undefined;
    const sampling = sampleProgress(samples, {
      url,
      client,
      workflowId,
      planHash,
      everyMs: options.sampleEveryMs,
      isOver,
    });
    const reporter = setInterval(() => options.progress?.(`${seconds()} s: ${told(samples)}`), 10_000);
    const ending = untilEnded(client, workflowId).then((ended) => {
      status = ended;
    });
    const faults = await strike(stack, options, samples, isOver).finally(() => clearInterval(reporter));
    await Promise.all([sampling, ending]);
    const replaying = Math.round((seconds() - making) * 10) / 10;
    const arrivals = receiver.arrivals.slice(arrivedBefore);
    const { kills } = faults;
    return {
      seed: options.seed,
      ...faults,
      kills: kills.length,
      status: status ?? '',
      result: status === 'COMPLETED' ? await client.workflow.getHandle(workflowId).result() : null,
      samples,
      chain: await readChain(client, workflowId, handle.firstExecutionRunId),
      verdict: await connected(url, (sql) => replayVerdict({ sql, planHash, arrivals, kills })),
      seconds: { making, replaying, all: seconds() },
    };
  } finally {
    await stack.stop();
  }
}

/** A plan of all open letters, approved by somebody else. */
export async function approvedPlan(sql: pg.Client, ratePerSecond: number | null): Promise<string> {
  const policy: Partial<ReplayPolicy> = { ...CHAOS_POLICY, ratePerSecond };
  const plan = `select fn_iu_replay_plan('{}', $1, 'cleo', 'mended') ->> 'planHash' as answer`;
  const planHash = await ask<string>(sql, plan, [JSON.stringify(policy)]);
  await sql.query(`select fn_iu_replay_approve($1, 'dan', 'looks right')`, [planHash]);
  return planHash;
}

interface Faults {
  readonly kills: number[];
  crashes: number;
  restarts: number;
}

/** Kills the worker again and again, each server once, until it is over; a worker is left running only until then. */
async function strike(
  stack: ReplayStack,
  { seed, letters, killEveryMs, workMs, mostKills, progress }: ReplayChaosOptions,
  samples: Samples,
  isOver: () => boolean,
): Promise<Faults> {
  const random = seededRandom(seed).stream('faults');
  const crashAt = (letters * random.int(20, 40)) / 100;
  const restartAt = (letters * random.int(55, 75)) / 100;
  const faults: Faults = { kills: [], crashes: 0, restarts: 0 };
  const settled = () => (samples.rows === undefined ? 0 : samples.rows.resolved + samples.rows.failed);
  let worker = await stack.startWorker();
  const newHunt = () => ({
    dueAt: Date.now() + (killEveryMs * random.int(80, 120)) / 100,
    triesBefore: samples.rows?.tries ?? 0,
    workedAt: Number.POSITIVE_INFINITY,
  });
  let hunt = newHunt();
  try {
    while (!isOver()) {
      await delay(100);
      if (hunt.workedAt > Date.now() && (samples.rows?.tries ?? 0) > hunt.triesBefore)
        hunt.workedAt = Date.now();
      if (faults.crashes === 0 && settled() >= crashAt) {
        await stack.crashPostgres();
        faults.crashes += 1;
        progress?.('PostgreSQL was killed and is back');
      }
      if (faults.restarts === 0 && settled() >= restartAt) {
        await stack.restartTemporal();
        faults.restarts += 1;
        progress?.('Temporal was restarted');
      }
      if (faults.kills.length >= (mostKills ?? Number.POSITIVE_INFINITY)) continue;
      if (Date.now() < hunt.dueAt || Date.now() - hunt.workedAt < workMs) continue;
      await worker.kill();
      faults.kills.push(Date.now());
      worker = await stack.startWorker();
      hunt = newHunt();
    }
  } finally {
    await worker.stop();
  }
  return faults;
}

/** Waits until the newest run of a chain has ended, over whatever the server does, and answers how. */
export async function untilEnded(client: Client, workflowId: string): Promise<string> {
  for (;;) {
    const description = await client
      .withDeadline(Date.now() + 5_000, () => client.workflow.getHandle(workflowId).describe())
      .catch(() => undefined);
    const name = description?.status.name ?? 'RUNNING';
    if (name !== 'RUNNING' && name !== 'CONTINUED_AS_NEW') return name;
    await delay(500);
  }
}

function told({ rows }: Samples): string {
  if (rows === undefined) return 'nothing is known yet';
  const { resolved, failed, tries, inFlight, waiting } = rows;
  return `${resolved} resolved, ${failed} failed, ${tries} tries, ${inFlight} in flight, ${waiting} waiting`;
}
