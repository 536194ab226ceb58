import { loadavg } from 'node:os';
import { decideEverything } from './backlog/decide-everything.ts';
import { emitMore } from './backlog/emit-more.ts';
import { holdHorizon } from './backlog/hold-horizon.ts';
import { makePartitions } from './backlog/make-partitions.ts';
import { measureSideBySide } from './backlog/measure-side-by-side.ts';
import { type BacklogOptions, readOptions } from './backlog/options.ts';
import { EVENTS_A_DAY, seedEvents } from './backlog/seed-events.ts';
import { type Benchmark, medians, round } from './benchmark.ts';
import { installIuCore } from './drain/install-iu-core.ts';
import { CREATE_RAW } from './drain/raw-contestant.ts';
import { type BenchServer, startServer } from './drain/start-server.ts';
import { withClient } from './drain/with-client.ts';

const TEMPLATE = 'bench_iu_core';
const DAYS = 30;

/** Databases by the name of their figures. */
type Backlogs = ReadonlyMap<string, string>;

/**
 * Milliseconds per 1,000 events of the route worker and, beside it, of the bare rows from the same outbox: at growing
 * backlogs ahead of the cursor, and at the smallest backlog with no attempts and with as many attempts behind it as the
 * largest backlog had events. Then its behaviour while another transaction holds the horizon.
 */
export async function run(): Promise<Benchmark> {
  const options = readOptions(process.argv.slice(2));
  const [smallest = 0] = options.sizes;
  const largest = options.sizes.at(-1) ?? 0;
  const server = await startServer();
  try {
    const load = loadavg()[0] ?? 0;
    const partitions = await prepareTemplate(server, Math.max(DAYS, Math.ceil(largest / EVENTS_A_DAY)));

    const ahead = new Map<string, string>();
    for (const size of options.sizes) ahead.set(`Ahead${size}`, await seeded(server, `ahead_${size}`, size));
    const growing = await measureRounds(ahead, options);
    for (const size of options.sizes.slice(0, -1)) await admin(server, `drop database ahead_${size}`);

    const fresh = await seeded(server, 'behind_0', smallest);
    const full = server.urlOf(`ahead_${largest}`);
    const attemptsBehind = await withClient(full, decideEverything);
    await withClient(full, (client) => emitMore(client, smallest));
    await settle(full);
    const aging = await measureRounds(
      new Map([
        ['Behind0', fresh],
        [`Behind${largest}`, full],
      ]),
      options,
    );
    await admin(server, `drop database ahead_${largest}`);

    await admin(server, `create database held template ${TEMPLATE}`);
    const held = await holdHorizon(server, 'held', options);
    const rounds = growing.map((one, at) => ({ ...one, ...aging[at] }));
    return {
      name: 'backlog, ms per 1,000 events',
      rounds: rounds.map((one) =>
        Object.fromEntries(Object.entries(one).map(([name, ms]) => [name, round(ms)])),
      ),
      median: medians(rounds),
      ratios: medians(rounds.map((one) => ratiosOf(one, smallest, largest))),
      held,
      settings: {
        batch: options.batch,
        batches: options.batches,
        partitions,
        attemptsBehind,
        loadAtStart: round(load),
        ...server.settings,
      },
    };
  } finally {
    await server.stop();
  }
}

async function prepareTemplate(server: BenchServer, days: number): Promise<number> {
  await admin(server, `create database ${TEMPLATE}`);
  return await withClient(server.urlOf(TEMPLATE), async (client) => {
    await installIuCore(client);
    const partitions = await makePartitions(client, days);
    await client.query(CREATE_RAW);
    return partitions;
  });
}

async function seeded(server: BenchServer, name: string, events: number): Promise<string> {
  await admin(server, `create database ${name} template ${TEMPLATE}`);
  const url = server.urlOf(name);
  await withClient(url, (client) => seedEvents(client, events));
  await settle(url);
  return url;
}

/** As autovacuum would have left it, which is off here so that it does not fall into what is measured. */
async function settle(url: string): Promise<void> {
  await withClient(url, (client) => client.query('vacuum analyze'));
}

async function measureRounds(backlogs: Backlogs, options: BacklogOptions): Promise<Record<string, number>[]> {
  const all = [...backlogs.keys()];
  const rounds: Record<string, number>[] = [];
  for (let one = 0; one < options.rounds; one += 1) {
    const order = all.map((_, at) => all[(at + one) % all.length] ?? '');
    const urls = order.map((name) => backlogs.get(name) ?? '');
    const measured = await measureSideBySide(urls, options.batch, options.batches);
    const figures = Object.fromEntries(
      all.flatMap((name) => [`worker${name}`, `raw${name}`].map((key) => [key, 0])),
    );
    for (const [at, name] of order.entries()) {
      const { worker = 0, raw = 0 } = measured[at] ?? {};
      Object.assign(figures, { [`worker${name}`]: worker, [`raw${name}`]: raw });
      process.stderr.write(`round ${one + 1}: ${name} worker ${round(worker)} raw ${round(raw)} ms\n`);
    }
    rounds.push(figures);
  }
  return rounds;
}

/** Growth of the worker's cost, growth of the raw statement's, and the first divided by the second. */
function ratiosOf(
  figures: Readonly<Record<string, number>>,
  smallest: number,
  largest: number,
): Record<string, number> {
  const growth = (lane: string, from: string, to: string) =>
    (figures[lane + to] ?? 0) / (figures[lane + from] ?? 1);
  const backlog = growth('worker', `Ahead${smallest}`, `Ahead${largest}`);
  const backlogRaw = growth('raw', `Ahead${smallest}`, `Ahead${largest}`);
  const attempts = growth('worker', 'Behind0', `Behind${largest}`);
  const attemptsRaw = growth('raw', 'Behind0', `Behind${largest}`);
  return {
    backlog,
    backlogRaw,
    backlogBesideRaw: backlog / backlogRaw,
    attempts,
    attemptsRaw,
    attemptsBesideRaw: attempts / attemptsRaw,
  };
}

async function admin(server: BenchServer, statement: string): Promise<void> {
  await withClient(server.adminUrl, (client) => client.query(statement));
}
