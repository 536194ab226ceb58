import { loadavg } from 'node:os';
import { type Benchmark, medians, round } from './benchmark.ts';
import type { Contestant } from './drain/contestant.ts';
import { drainContestant } from './drain/drain-contestant.ts';
import { graphileContestant } from './drain/graphile-contestant.ts';
import { installIuCore } from './drain/install-iu-core.ts';
import { type DrainOptions, readOptions } from './drain/options.ts';
import { pgBossContestant } from './drain/pg-boss-contestant.ts';
import { assertEqualRows, rawContestant } from './drain/raw-contestant.ts';
import { riverContestant } from './drain/river-contestant.ts';
import { type BenchServer, startServer } from './drain/start-server.ts';
import { withClient } from './drain/with-client.ts';

const TEMPLATE = 'bench_iu_core';
const SAMPLE = 1_000;

/**
 * Events per second of the route worker, beside the limit that the bare rows set and beside job queues of others, on
 * one durable server. Each contestant starts from a database of its own that is freshly filled, vacuumed and
 * checkpointed; it fails unless exactly the events that were filled are done. The order rotates by round.
 */
export async function run(): Promise<Benchmark> {
  const options = readOptions(process.argv.slice(2));
  const server = await startServer();
  try {
    await prepareTemplate(server);
    const contestants = await enter(options);
    const load = loadavg()[0] ?? 0;
    const rounds: Record<string, number>[] = [];
    for (let one = 0; one < options.rounds; one += 1) {
      const figures: Record<string, number> = Object.fromEntries(contestants.map(({ name }) => [name, 0]));
      for (const contestant of rotated(contestants, one)) {
        const seconds = await measure(server, contestant, options.events);
        figures[contestant.name] = Math.round(options.events / seconds);
        process.stderr.write(`round ${one + 1}: ${contestant.name} ${figures[contestant.name]}/s\n`);
      }
      rounds.push(figures);
    }
    return {
      name: 'drain, events per second',
      rounds,
      median: medians(rounds),
      ratios: medians(rounds.map(ratiosOf)),
      settings: {
        events: options.events,
        loadAtStart: round(load),
        ...server.settings,
        ...settingsOf(contestants),
      },
    };
  } finally {
    await server.stop();
  }
}

/** IU Core as it is in use: with the partitions of the coming days, as the retention workflow makes them. */
async function prepareTemplate(server: BenchServer): Promise<void> {
  await admin(server, `create database ${TEMPLATE}`);
  await withClient(server.urlOf(TEMPLATE), async (client) => {
    await installIuCore(client);
    await client.query('select fn_iu_retention_prepare()');
  });
  await admin(server, `create database bench_sample template ${TEMPLATE}`);
  await assertEqualRows(server.urlOf('bench_sample'), SAMPLE);
  await admin(server, 'drop database bench_sample');
}

async function enter({ batch, only }: DrainOptions): Promise<Contestant[]> {
  const all = [
    rawContestant(TEMPLATE, batch),
    drainContestant(TEMPLATE, batch),
    graphileContestant('graphile-worker'),
    graphileContestant('graphile-worker-fastest'),
    pgBossContestant('pg-boss'),
    pgBossContestant('pg-boss-fastest'),
  ];
  const isWanted = (name: string) => only.length === 0 || only.includes(name);
  if (isWanted('river')) {
    try {
      all.push(await riverContestant());
    } catch (error) {
      const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
      process.stderr.write(`river is left out: ${reason}\n`);
    }
  }
  return all.filter(({ name }) => isWanted(name));
}

/** Seconds of one contestant, from a fresh database that is dropped again. */
async function measure(server: BenchServer, contestant: Contestant, events: number): Promise<number> {
  const { template = 'template0' } = contestant;
  const url = server.urlOf('bench');
  await admin(server, `create database bench template ${template}`);
  try {
    await contestant.fill(url, events);
    await withClient(url, (client) => client.query('vacuum analyze'));
    await admin(server, 'checkpoint');
    const seconds = await contestant.work(url, events);
    const done = await withClient(url, contestant.done);
    if (done !== events) throw new Error(`${contestant.name} did ${done} of ${events} events`);
    return seconds;
  } finally {
    await admin(server, 'drop database bench with (force)');
  }
}

async function admin(server: BenchServer, statement: string): Promise<void> {
  await withClient(server.adminUrl, (client) => client.query(statement));
}

function rotated<T>(all: readonly T[], by: number): T[] {
  const first = by % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

/** Ours divided by each other one. */
function ratiosOf({ drain, ...others }: Readonly<Record<string, number>>): Record<string, number> {
  if (drain === undefined) return {};
  return Object.fromEntries(Object.entries(others).map(([name, figure]) => [name, drain / figure]));
}

function settingsOf(contestants: readonly Contestant[]): Record<string, string | number> {
  return Object.fromEntries(
    contestants.flatMap(({ name, settings }) =>
      Object.entries(settings).map(([setting, value]) => [`${name}.${setting}`, value]),
    ),
  );
}
