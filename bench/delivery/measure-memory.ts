import { loadavg } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type pg from 'pg';
import { type Benchmark, median, medians, round } from '../benchmark.ts';
import { runWorker } from '../drain/drain-contestant.ts';
import type { BenchServer } from '../drain/start-server.ts';
import { countOf, withClient } from '../drain/with-client.ts';
import { addRoute, deliver, installDelivery } from './deliveries.ts';
import type { DeliveryOptions } from './options.ts';
import type { Receiver } from './receiver.ts';

const ROUTE = 'bench';
const SAMPLES = 10;
/** Events that are emitted and routed at once, and so many of them are kept ahead. */
const CHUNK = 20_000;
const AHEAD = 2;
const ROUTED_AT_ONCE = 2_000;
/** Samples whose median stands for the beginning and for the end. */
const EDGE = 3;
const LONG_MS = 86_400_000;
const MEBIBYTE = 1_048_576;

/**
 * Memory of the process that delivers, ten times on the way: what the system counts as its own (`rssMb`), and what is in use
 * after a collection (`heapMb`, `buffersMb`). Events are emitted, routed and vacuumed away by the server meanwhile, so that
 * nothing but the delivering is in this process. It fails unless every event arrived once and is accounted for.
 */
export async function measureMemory(
  server: BenchServer,
  receiver: Receiver,
  { events, concurrency: [concurrency = 32] }: DeliveryOptions,
): Promise<Benchmark> {
  const load = loadavg()[0] ?? 0;
  const url = server.urlOf('bench');
  await withClient(server.adminUrl, (client) => client.query('create database bench'));
  await withClient(url, async (client) => {
    await installDelivery(client);
    await addRoute(client, ROUTE, receiver.urls.answering);
    await fill(client, 0, Math.min(CHUNK, events));
  });
  const samples = await sampled(url, events, concurrency);
  const { requests, keys } = await receiver.take();
  const settled = await withClient(url, countSettled);
  if ([requests, keys, settled].some((count) => count !== events))
    throw new Error(`${requests} requests with ${keys} keys arrived, ${settled} of ${events} are settled`);
  const growth = (figure: keyof Sample) =>
    median(samples.slice(-EDGE).map((sample) => sample[figure])) /
    median(samples.slice(0, EDGE).map((sample) => sample[figure]));
  return {
    name: 'delivery, memory in MiB',
    rounds: samples,
    median: medians(samples),
    ratios: { rss: round(growth('rssMb')), heap: round(growth('heapMb')) },
    settings: { events, concurrency, loadAtStart: round(load), ...server.settings },
  };
}

type Sample = {
  /** Deliveries settled by then. */
  readonly deliveries: number;
  readonly rssMb: number;
  readonly heapMb: number;
  readonly buffersMb: number;
  /** Since the sample before; never more than the server emits and routes meanwhile. */
  readonly perSecond: number;
};

async function sampled(url: string, events: number, concurrency: number): Promise<Sample[]> {
  const collect = collector();
  const samples: Sample[] = [];
  const end = new AbortController();
  let sent = 0;
  let last = { sent: 0, seconds: 0 };
  const filling = withClient(url, async (client) => {
    for (let from = CHUNK; from < events; from += CHUNK) {
      while (from - sent >= AHEAD * CHUNK) await delay(50);
      await fill(client, from, Math.min(CHUNK, events - from));
    }
  }).catch((error: unknown) => {
    end.abort();
    throw error;
  });
  const delivering = deliver(url, concurrency, {
    forMs: LONG_MS,
    sliceMs: LONG_MS,
    signal: end.signal,
    report: (counts) => {
      sent = counts.sent;
      if (sent >= ((samples.length + 1) * events) / SAMPLES) {
        collect();
        const { rss, heapUsed, external } = process.memoryUsage();
        const sample = {
          deliveries: sent,
          rssMb: round(rss / MEBIBYTE),
          heapMb: round(heapUsed / MEBIBYTE),
          buffersMb: round(external / MEBIBYTE),
          perSecond: Math.round((sent - last.sent) / (counts.seconds - last.seconds)),
        };
        samples.push(sample);
        last = { sent, seconds: counts.seconds };
        process.stderr.write(`${JSON.stringify(sample)}\n`);
      }
      if (sent >= events) end.abort();
    },
  });
  await Promise.all([filling, delivering]);
  return samples;
}

/** Emits and routes events within the server, and lets go of what was delivered, as autovacuum would. */
async function fill(client: pg.Client, from: number, events: number): Promise<void> {
  await client.query(
    `select count(fn_iu_emit_event(
       'iu', $1, 'guide/chapter-' || n, gen_random_uuid(),
       jsonb_build_object('unit', 'guide/chapter-' || n, 'version', 2, 'previous', 1, 'title',
         'How an event gets from its table to its target', 'author', 'bench', 'language', 'en', 'bytes', 20480),
       'bench'))
     from generate_series($2::integer, $3::integer) as n`,
    [ROUTE, from, from + events - 1],
  );
  await runWorker(client, ROUTED_AT_ONCE);
  await client.query('vacuum iu_route_delivery, iu_route_lease, iu_route_breaker');
}

async function countSettled(client: pg.Client): Promise<number> {
  const attempts = await countOf(
    client,
    `select count(distinct event_id) as count from iu_route_attempt where status = 'sent' and delivered`,
  );
  return attempts - (await countOf(client, 'select count(*) as count from iu_route_delivery'));
}

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
}
