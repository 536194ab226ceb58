import { loadavg } from 'node:os';
import type pg from 'pg';
import { type Benchmark, medians, round } from './benchmark.ts';
import { addRoute, deliver, installDelivery, queueEvents } from './delivery/deliveries.ts';
import { readOptions } from './delivery/options.ts';
import { type Receiver, startReceiver } from './delivery/receiver.ts';
import { type BenchServer, startServer } from './drain/start-server.ts';
import { countOf, withClient } from './drain/with-client.ts';

const HEALTHY = 'healthy';
/** Two routes at once: to an endpoint that accepts and never answers, and to one that refuses. */
const DEAD = ['silent', 'refusing'] as const;
const DEAD_EVENTS = 10_000;
const DEAD_TIMEOUT_MS = 1_000;
/** Longer than a run, so that no probe comes into it. */
const BREAKER_WAIT_SECONDS = 600;
const DEFAULTS = { rounds: 5, events: 60_000, concurrency: '32' };

/** Databases that runs are copies of. */
const TEMPLATES = { alone: 'bench_alone', beside: 'bench_beside' } as const;
type Run = keyof typeof TEMPLATES;

/**
 * Deliveries per second of a healthy route: alone, and beside two routes with 10,000 due events each whose endpoints are
 * dead. It fails unless all healthy events arrived once, both breakers have opened after a few tries, all dead events are
 * still queued, and delivering goes on without a try of them while the breakers are open.
 */
export async function run(): Promise<Benchmark> {
  const options = readOptions(process.argv.slice(2), DEFAULTS);
  const [concurrency = 32] = options.concurrency;
  const server = await startServer();
  const receiver = await startReceiver();
  try {
    const load = loadavg()[0] ?? 0;
    await prepareTemplates(server, receiver, options.events);
    const measure = async (one: Run) => {
      const figure = await rateOf(server, receiver, one, { events: options.events, concurrency });
      process.stderr.write(
        `${one} ${figure.rate}/s${figure.tries === 0 ? '' : `, ${figure.tries} tries of dead ones`}\n`,
      );
      return figure;
    };
    // Warms up.
    await measure('beside');
    const rounds: Record<Run, number>[] = [];
    let tries = 0;
    for (let one = 0; one < options.rounds; one += 1) {
      const figures: Record<Run, number> = { alone: 0, beside: 0 };
      const order = one % 2 === 0 ? (['alone', 'beside'] as const) : (['beside', 'alone'] as const);
      for (const next of order) {
        const figure = await measure(next);
        figures[next] = figure.rate;
        tries = Math.max(tries, figure.tries);
      }
      rounds.push(figures);
    }
    return {
      name: 'dead endpoint, deliveries per second of a healthy route',
      rounds,
      median: medians(rounds),
      ratios: medians(rounds.map(({ alone, beside }) => ({ alone: beside / alone }))),
      settings: {
        events: options.events,
        deadRoutes: DEAD.length,
        deadEvents: DEAD_EVENTS,
        deadTriesAtMost: tries,
        concurrency,
        loadAtStart: round(load),
        ...server.settings,
      },
    };
  } finally {
    await receiver.stop();
    await server.stop();
  }
}

async function prepareTemplates(server: BenchServer, receiver: Receiver, events: number): Promise<void> {
  await admin(server, `create database ${TEMPLATES.alone}`);
  await withClient(server.urlOf(TEMPLATES.alone), async (client) => {
    await installDelivery(client);
    await client.query(
      `update dot_config set value = $1 where key = 'iu_core.delivery_breaker_wait_seconds'`,
      [BREAKER_WAIT_SECONDS],
    );
    await addRoute(client, HEALTHY, receiver.urls.answering);
    for (const dead of DEAD)
      await addRoute(client, dead, receiver.urls[dead], { timeout_ms: DEAD_TIMEOUT_MS });
    await queueEvents(client, HEALTHY, events);
  });
  await admin(server, `create database ${TEMPLATES.beside} template ${TEMPLATES.alone}`);
  await withClient(server.urlOf(TEMPLATES.beside), async (client) => {
    for (const dead of DEAD) await queueEvents(client, dead, DEAD_EVENTS);
  });
}

interface Rate {
  readonly rate: number;
  /** Of deliveries of dead routes. */
  readonly tries: number;
}

async function rateOf(
  server: BenchServer,
  receiver: Receiver,
  one: Run,
  { events, concurrency }: { readonly events: number; readonly concurrency: number },
): Promise<Rate> {
  const url = server.urlOf('bench');
  await admin(server, `create database bench template ${TEMPLATES[one]}`);
  try {
    await withClient(url, (client) => client.query('vacuum analyze'));
    await admin(server, 'checkpoint');
    await receiver.take();
    const startedAt = Date.now();
    const { sent } = await deliver(url, concurrency);
    const { requests, keys } = await receiver.take();
    if ([sent, requests, keys].some((count) => count !== events))
      throw new Error(`${sent} of ${events} are sent; ${requests} requests with ${keys} keys arrived`);
    const { endedAt, tries } = await withClient(url, async (client) => ({
      endedAt: await countOf(
        client,
        `select extract(epoch from max(created_at)) * 1000 as count from iu_route_attempt where status = 'sent'`,
      ),
      tries: one === 'alone' ? 0 : await triesOfDead(client, concurrency),
    }));
    if (one === 'beside') {
      await deliver(url, concurrency, { forMs: DEAD_TIMEOUT_MS });
      const later = await withClient(url, (client) => triesOfDead(client, concurrency));
      if (later !== tries) throw new Error(`${later - tries} tries were made while the breakers were open`);
    }
    return { rate: Math.round((events * 1_000) / (endedAt - startedAt)), tries };
  } finally {
    await admin(server, 'drop database bench with (force)');
  }
}

/** @throws Error where a breaker is not open, an event has left the queue, or too many tries were made before */
async function triesOfDead(client: pg.Client, concurrency: number): Promise<number> {
  const { rows } = await client.query<{ route: string; state: string; queued: number; tries: number }>(
    `select
       route as route,
       (select state from iu_route_breaker where route_code = route) as state,
       (select count(*)::integer from iu_route_delivery where route_code = route) as queued,
       (select count(*)::integer from iu_route_attempt where route_code = route) as tries
     from unnest($1::text[]) as route`,
    [DEAD],
  );
  for (const { route, state, queued, tries } of rows) {
    if (state !== 'open' || queued !== DEAD_EVENTS || tries > 4 * concurrency)
      throw new Error(
        `route ${route}: breaker ${state}, ${queued} of ${DEAD_EVENTS} queued, ${tries} tries before it opened`,
      );
  }
  return rows.reduce((sum, { tries }) => sum + tries, 0);
}

async function admin(server: BenchServer, statement: string): Promise<void> {
  await withClient(server.adminUrl, (client) => client.query(statement));
}
