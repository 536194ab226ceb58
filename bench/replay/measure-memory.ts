import { loadavg } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ReplayProgress } from '../../contracts/replay.ts';
import { type Benchmark, median, medians, round } from '../benchmark.ts';
import type { Receiver } from '../delivery/receiver.ts';
import type { BenchServer } from '../drain/start-server.ts';
import { countOf, withClient } from '../drain/with-client.ts';
import { makeLetters, mend } from './dead-letters.ts';
import { installReplay, ROUTES } from './install-replay.ts';
import type { ReplayOptions } from './options.ts';
import { replayLetters } from './replay-letters.ts';

const SAMPLES = 10;
const EVENTS_A_TRANSACTION = 10_000;
/** Samples whose median stands for the beginning and for the end. */
const EDGE = 3;
/** A plan of a million letters is made in one statement. */
const PLAN_TIMEOUT_MS = 600_000;
const MEBIBYTE = 1_048_576;

/**
 * Memory of the process that replays one plan, ten times on the way: what the system counts as its own (`rssMb`), and what
 * is in use after a collection (`heapMb`, `buffersMb`). It fails unless every letter was resolved and its function called
 * once.
 */
export async function measureMemory(
  server: BenchServer,
  receiver: Receiver,
  { letters, batch }: ReplayOptions,
): Promise<Benchmark> {
  const load = loadavg()[0] ?? 0;
  const url = server.urlOf('bench');
  await withClient(server.adminUrl, (client) => client.query('create database bench'));
  const samples = await withClient(url, async (client) => {
    await installReplay(client, receiver.urls.refusing);
    await makeLetters(client, url, 'sql', letters, EVENTS_A_TRANSACTION);
    await mend(client, receiver.urls.answering);
    await client.query('vacuum analyze');
    await client.query('checkpoint');
    const taken = sampler(letters);
    await replayLetters(client, {
      url,
      route: ROUTES.sql,
      batch,
      concurrency: 1,
      planTimeoutMs: PLAN_TIMEOUT_MS,
      report: taken.look,
    });
    const effects = await countOf(client, 'select count(*) as count from bench.effect');
    if (effects !== letters) throw new Error(`the function was called for ${effects} of ${letters} letters`);
    return taken.samples;
  });
  const growth = (figure: keyof Sample) =>
    median(samples.slice(-EDGE).map((sample) => sample[figure])) /
    median(samples.slice(0, EDGE).map((sample) => sample[figure]));
  return {
    name: 'replay, memory in MiB',
    rounds: samples,
    median: medians(samples),
    ratios: {
      rss: round(growth('rssMb')),
      heap: round(growth('heapMb')),
      perSecond: round(growth('perSecond')),
    },
    settings: { events: letters, batch, loadAtStart: round(load), ...server.settings },
  };
}

type Sample = {
  /** Letters resolved by then. */
  readonly letters: number;
  readonly rssMb: number;
  readonly heapMb: number;
  readonly buffersMb: number;
  /** Since the sample before. */
  readonly perSecond: number;
};

function sampler(letters: number) {
  const collect = collector();
  const samples: Sample[] = [];
  let last: { readonly resolved: number; readonly at: number } | undefined;
  const look = ({ resolved }: ReplayProgress) => {
    // The first look comes after one letter; the plan was made before.
    last ??= { resolved, at: performance.now() };
    if (resolved < ((samples.length + 1) * letters) / SAMPLES) return;
    const now = performance.now();
    collect();
    const { rss, heapUsed, external } = process.memoryUsage();
    const sample = {
      letters: resolved,
      rssMb: round(rss / MEBIBYTE),
      heapMb: round(heapUsed / MEBIBYTE),
      buffersMb: round(external / MEBIBYTE),
      perSecond: Math.round(((resolved - last.resolved) * 1_000) / (now - last.at)),
    };
    samples.push(sample);
    last = { resolved, at: performance.now() };
    process.stderr.write(`${JSON.stringify(sample)}\n`);
  };
  return { samples, look };
}

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
