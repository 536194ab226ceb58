import { loadavg } from 'node:os';
import { type Benchmark, median, medians, round } from './benchmark.ts';
import { bareContestant } from './delivery/bare-contestant.ts';
import { addRoute, installDelivery, queueEvents } from './delivery/deliveries.ts';
import { deliveryContestant } from './delivery/delivery-contestant.ts';
import { graphileContestant } from './delivery/graphile-contestant.ts';
import { bytesOf, type Field, type Measured, measureContestant } from './delivery/measure-contestant.ts';
import { measureMemory } from './delivery/measure-memory.ts';
import { type DeliveryOptions, readOptions } from './delivery/options.ts';
import { pgBossContestant } from './delivery/pg-boss-contestant.ts';
import type { PostContestant } from './delivery/post-contestant.ts';
import { type QueuedPost, queuedPosts } from './delivery/queued-posts.ts';
import { type Receiver, startReceiver } from './delivery/receiver.ts';
import { type BenchServer, startServer } from './drain/start-server.ts';
import { withClient } from './drain/with-client.ts';

const TEMPLATE = 'bench_queued';
const ROUTE = 'bench';

/** A contestant with the number of requests in flight at which it was fastest, and what it did with them. */
interface Entered {
  readonly contestant: PostContestant;
  readonly concurrency: number;
  readonly measured: Measured[];
}

/**
 * POSTs per second of the deliveries, beside the limit that the HTTP client sets and beside job queues of others, on one
 * durable server and to one receiver. All post the same bytes with the same client; each fails unless every key arrived
 * once and is done in its own tables. The order rotates by round.
 */
export async function run(): Promise<Benchmark> {
  const options = readOptions(process.argv.slice(2));
  const server = await startServer();
  const receiver = await startReceiver();
  try {
    if (options.isMemory) return await measureMemory(server, receiver, options);
    const load = loadavg()[0] ?? 0;
    const field = { server, receiver, posts: await prepareTemplate(server, receiver, options.events) };
    const entered = await enter(field, options);
    for (let one = 0; one < options.rounds; one += 1) {
      for (const { contestant, concurrency, measured } of rotated(entered, one)) {
        const figures = await measureContestant(field, contestant, concurrency);
        measured.push(figures);
        tell(`round ${one + 1}`, contestant, concurrency, figures);
      }
    }
    const rounds = Array.from({ length: options.rounds }, (_, one) => ratesOf(entered, one));
    return {
      name: 'delivery, POSTs per second',
      rounds,
      median: medians(rounds),
      ratios: medians(rounds.map(ratiosOf)),
      settings: {
        events: options.events,
        bodyBytes: Math.round(bytesOf(field.posts) / options.events),
        loadAtStart: round(load),
        ...server.settings,
        ...Object.assign({}, ...entered.map(settingsOf)),
      },
    };
  } finally {
    await receiver.stop();
    await server.stop();
  }
}

/** IU Core with queued events, of which every contestant posts the envelopes. */
async function prepareTemplate(
  server: BenchServer,
  receiver: Receiver,
  events: number,
): Promise<QueuedPost[]> {
  await withClient(server.adminUrl, (client) => client.query(`create database ${TEMPLATE}`));
  return await withClient(server.urlOf(TEMPLATE), async (client) => {
    await installDelivery(client);
    await addRoute(client, ROUTE, receiver.urls.answering);
    await queueEvents(client, ROUTE, events);
    const posts = await queuedPosts(client, ROUTE);
    if (posts.length !== events) throw new Error(`${posts.length} of ${events} events are queued`);
    return posts;
  });
}

/** Tries each contestant with each number of requests in flight, which also warms it up. */
async function enter(field: Field, { only, concurrency: tried }: DeliveryOptions): Promise<Entered[]> {
  const all = [
    bareContestant(),
    deliveryContestant(TEMPLATE),
    graphileContestant('graphile-worker'),
    graphileContestant('graphile-worker-fastest'),
    pgBossContestant('pg-boss'),
    pgBossContestant('pg-boss-fastest'),
  ].filter(({ name }) => only.length === 0 || only.includes(name));
  const entered: Entered[] = [];
  for (const contestant of all) {
    let best = { concurrency: 0, rate: 0 };
    for (const concurrency of tried) {
      const figures = await measureContestant(field, contestant, concurrency);
      tell('tried', contestant, concurrency, figures);
      if (figures.rate > best.rate) best = { concurrency, rate: figures.rate };
    }
    entered.push({ contestant, concurrency: best.concurrency, measured: [] });
  }
  return entered;
}

function tell(when: string, { name }: PostContestant, concurrency: number, figures: Measured): void {
  const { rate, nodeMicros, postgresMicros } = figures;
  process.stderr.write(
    `${when}: ${name} with ${concurrency} in flight ${rate}/s, ` +
      `CPU µs each: Node ${nodeMicros}, PostgreSQL ${postgresMicros}\n`,
  );
}

function rotated<T>(all: readonly T[], by: number): T[] {
  const first = by % all.length;
  return [...all.slice(first), ...all.slice(0, first)];
}

function ratesOf(entered: readonly Entered[], one: number): Record<string, number> {
  return Object.fromEntries(
    entered.map(({ contestant, measured }) => [contestant.name, measured[one]?.rate ?? 0]),
  );
}

/** Ours divided by each other one. */
function ratiosOf({ delivery, ...others }: Readonly<Record<string, number>>): Record<string, number> {
  if (delivery === undefined) return {};
  return Object.fromEntries(Object.entries(others).map(([name, figure]) => [name, delivery / figure]));
}

/** What was tuned, and the medians of the CPU time. */
function settingsOf({ contestant, concurrency, measured }: Entered): Record<string, string | number> {
  const micros = (figure: 'nodeMicros' | 'postgresMicros') => median(measured.map((one) => one[figure]));
  const settings = {
    ...contestant.settings,
    concurrency,
    nodeMicros: micros('nodeMicros'),
    postgresMicros: micros('postgresMicros'),
  };
  return Object.fromEntries(
    Object.entries(settings).map(([setting, value]) => [`${contestant.name}.${setting}`, value]),
  );
}
