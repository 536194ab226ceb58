import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import type { DeliveryConfig } from '../../../config/delivery-config.ts';
import { type SeededRandom, seededRandom } from '../../chaos/seeded-random.ts';
import { liveRoute } from '../../delivery-activity/support/deliveries.ts';
import { ask } from '../../sql-worker/support/worker.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type DeliveryVerdict, deliveryVerdict } from './delivery-verdict.ts';
import { openDatabase, signedRoute } from './faulty.ts';
import { closedPort } from './hostile-servers.ts';
import { type Answer, type Ledger, startLedger } from './ledger.ts';
import { type PumpProcess, SIGNED, SIGNED_DELIVERY, startPump } from './pump-process.ts';
import { alterFunction, type WrongDelivery } from './wrong-delivery.ts';

export interface RandomRun {
  readonly seed: number;
  readonly events: number;
  /** Workers that are killed, and that are stopped beyond their lease and continued. */
  readonly kills: number;
  readonly stops: number;
  readonly wrong?: WrongDelivery;
  /** How long deliveries may stay queued when everything is well again, in milliseconds. */
  readonly patienceMs: number;
}

export interface RandomReport {
  readonly seed: number;
  readonly verdict: DeliveryVerdict;
  readonly requests: number;
  /** Attempts by what they say, such as `flaky failed http_503`. */
  readonly attempts: Readonly<Record<string, number>>;
  /** Outcomes that came after their lease. */
  readonly refused: number;
  /** What was done to it. */
  readonly done: Readonly<Record<string, number>>;
  readonly seconds: number;
}

const delivery: DeliveryConfig = { ...SIGNED_DELIVERY, concurrency: 8, leaseMs: 1_000 };
/** A lease is held for twice the time of a try. */
const TIMEOUT_MS = 1_500;
const RETRY = { schedule: ['0s', ...Array.from({ length: 14 }, () => '300ms')] };
type Route = 'healthy' | 'flaky' | 'dead';
const CHUNK = 100;

/** Delivers to a healthy, a flaky and a dead target, while workers die and people change their minds. */
export async function randomRun(options: RandomRun): Promise<RandomReport> {
  const startedAt = performance.now();
  const random = seededRandom(options.seed);
  const { database, sql } = await openDatabase();
  const ledger = await startLedger({ answer: () => delay(random.int(5, 40)).then(() => 200) });
  const workers = new Workers(database.url, options.kills);
  try {
    await prepare(sql, ledger, random);
    if (options.wrong !== undefined) await alterFunction(sql, options.wrong);
    await workers.start();
    const done = await act(options, random, { sql, ledger, workers });
    await settleDown(sql, workers, options.patienceMs);
    const refused = await workers.stop();
    const verdict = await deliveryVerdict(sql, [ledger]);
    const attempts = await attemptCounts(sql);
    const seconds = Math.round((performance.now() - startedAt) / 1_000);
    return { seed: options.seed, verdict, requests: ledger.entries.length, attempts, refused, done, seconds };
  } finally {
    await workers.kill();
    await ledger.close();
    await database.drop();
  }
}

async function prepare(sql: pg.Client, ledger: Ledger, random: SeededRandom): Promise<void> {
  await sql.query(
    `update dot_config set value = '1' where key ~ '^iu_core.delivery_breaker_(max_)?wait_seconds$'`,
  );
  const config = { timeout_ms: TIMEOUT_MS, retry: RETRY };
  await signedRoute(sql, 'healthy', ledger, config);
  await signedRoute(sql, 'flaky', ledger, config);
  const retry = { schedule: ['0s', '300ms'] };
  await liveRoute(sql, 'dead', `http://127.0.0.1:${await closedPort()}/dead`, {
    ...SIGNED,
    ...config,
    retry,
  });
  ledger.answer('flaky', flaky(random.stream('flaky')));
}

/** Of ten, seven are answered well, and the others not, or not at all. */
function flaky(random: SeededRandom): Answer {
  return async ({ response }) => {
    await delay(random.int(5, 40));
    if (random.chance(0.7)) return 200;
    if (random.chance(0.5)) return 503;
    response.socket?.resetAndDestroy();
    return undefined;
  };
}

/** Two processes that deliver, and others that wait to follow them. */
class Workers {
  readonly #url: string;
  readonly #spares: Promise<PumpProcess>[];
  readonly #all: { readonly name: string; readonly process: PumpProcess }[] = [];
  #active: { readonly name: string; readonly process: PumpProcess }[] = [];
  #stopped: { readonly name: string; readonly process: PumpProcess } | undefined;

  constructor(url: string, kills: number) {
    this.#url = url;
    this.#spares = Array.from({ length: 2 + kills }, () => startPump());
    for (const spare of this.#spares) spare.catch(() => undefined);
  }

  async start(): Promise<void> {
    await this.#begin();
    await this.#begin();
  }

  async #begin(): Promise<void> {
    const spare = this.#spares.shift();
    if (spare === undefined) throw new Error('no worker is left');
    const worker = { name: `worker ${this.#all.length + 1}`, process: await spare };
    this.#all.push(worker);
    this.#active.push(worker);
    worker.process.deliver({ url: this.#url, delivery, worker: worker.name, forMs: 3_600_000 });
  }

  /** Kills the one that is at work for the longest time, and lets another begin. */
  async replace(): Promise<void> {
    const worker = this.#active.find((one) => one !== this.#stopped);
    if (worker === undefined) return;
    this.#active = this.#active.filter((one) => one !== worker);
    worker.process.signal('SIGKILL');
    await worker.process.ended;
    await this.#begin();
  }

  /** Stops one; the next call continues it when it has lost all that it held. */
  async stopOrContinue(sql: pg.Client): Promise<void> {
    const stopped = this.#stopped;
    if (stopped === undefined) {
      this.#stopped = this.#active.at(-1);
      this.#stopped?.process.signal('SIGSTOP');
      return;
    }
    await waitFor(() =>
      ask<boolean>(
        sql,
        `select not exists (
           select from iu_route_lease where leased_by = $1 and leased_until > clock_timestamp()
         ) as answer`,
        [stopped.name],
      ),
    );
    stopped.process.signal('SIGCONT');
    this.#stopped = undefined;
  }

  /** Fails with the first that ended by itself. */
  async check(): Promise<void> {
    const ended = this.#active.map(({ name, process }) =>
      process.ended.then(() => Promise.reject(new Error(`${name} ended by itself`))),
    );
    await Promise.race([...ended, delay(0)]);
  }

  /** @returns outcomes that were refused */
  async stop(): Promise<number> {
    for (const { process } of this.#active) process.signal('SIGTERM');
    const ends = await Promise.all(this.#active.map(({ process }) => process.ended));
    return ends.reduce((sum, end) => sum + (end?.counts.refused ?? 0), 0);
  }

  async kill(): Promise<void> {
    const spares = await Promise.all(this.#spares.map((spare) => spare.catch(() => undefined)));
    for (const process of [...this.#all.map((worker) => worker.process), ...spares]) {
      process?.signal('SIGKILL');
      await process?.ended.catch(() => undefined);
    }
  }
}

type Action = 'emit' | 'kill' | 'stop or continue' | 'gate' | 'dry run';
interface Scene {
  readonly sql: pg.Client;
  readonly ledger: Ledger;
  readonly workers: Workers;
}

/** Everything that is to happen, in a random order, each after some requests have arrived or half a second is over. */
async function act(
  { events, kills, stops }: RandomRun,
  random: SeededRandom,
  { sql, ledger, workers }: Scene,
): Promise<Record<string, number>> {
  const times = (count: number, action: Action): Action[] => Array.from({ length: count }, () => action);
  const others = [
    ...times(kills, 'kill'),
    ...times(2 * stops, 'stop or continue'),
    ...times(3, 'gate'),
    ...times(3, 'dry run'),
  ];
  const chunks = Math.ceil(events / CHUNK);
  const actions = shuffled(random, [...others, ...times(chunks - others.length - 1, 'emit')]);
  const done: Record<string, number> = {};
  await emit(sql, 'dead', CHUNK);
  for (const action of actions) {
    await workers.check();
    done[action] = (done[action] ?? 0) + 1;
    const route = action === 'emit' ? pickRoute(random) : random.pick(['healthy', 'flaky'] as const);
    if (action === 'gate') await setGate(sql, false);
    if (action === 'dry run') await setDry(sql, route, true);
    await emit(sql, route, CHUNK);
    if (action === 'kill') {
      await waitFor(async () => ledger.open > 0);
      await progress(ledger, random.int(0, 30));
      await workers.replace();
    } else if (action === 'stop or continue') {
      await workers.stopOrContinue(sql);
    }
    await progress(ledger, random.int(0, 60));
    if (action === 'gate') await setGate(sql, true);
    if (action === 'dry run') await setDry(sql, route, false);
  }
  return done;
}

const pickRoute = (random: SeededRandom): Route =>
  random.chance(0.1) ? 'dead' : random.pick(['healthy', 'flaky'] as const);

function shuffled<Item>(random: SeededRandom, items: readonly Item[]): Item[] {
  return items
    .map((item) => ({ item, place: random.int(0, 2 ** 30) }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item);
}

async function progress(ledger: Ledger, requests: number): Promise<void> {
  const from = ledger.entries.length;
  await waitFor(async () => ledger.entries.length >= from + requests, 500).catch(() => undefined);
}

const setGate = (sql: pg.Client, isOpen: boolean) =>
  sql.query(`update dot_config set value = $1 where key = 'iu_core.delivery_enabled'`, [String(isOpen)]);

const setDry = (sql: pg.Client, route: Route, isDry: boolean) =>
  sql.query('update iu_outbound_route set dry_run = $2 where route_code = $1', [route, isDry]);

/** Writes events of a route, and routes what can be routed. */
async function emit(sql: pg.Client, route: Route, events: number): Promise<void> {
  await sql.query(
    `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
     select 'test', $1, 'subject ' || n, jsonb_build_object('n', n), 'a test'
     from generate_series(1, $2) as n`,
    [route, events],
  );
  await sql.query(`select fn_iu_route_worker_run('iu_outbound_default', 2000)`);
}

/** Routes and releases what is left, takes back what is for the dead target, and waits for the others. */
async function settleDown(sql: pg.Client, workers: Workers, patienceMs: number): Promise<void> {
  await waitFor(async () => {
    await sql.query(`select fn_iu_route_worker_run('iu_outbound_default', 2000)`);
    await sql.query(`select fn_iu_route_blocked_release('iu_outbound_default', 2000, 'ana', 'a test')`);
    return ask<boolean>(
      sql,
      `select not exists (
         select from event_outbox
         where not exists (select from iu_route_attempt where event_id = event_outbox.id and status <> 'blocked')
           and not exists (select from iu_route_delivery where event_id = event_outbox.id)
       ) as answer`,
    );
  }, 60_000);
  const hasTried = `select exists (
    select from iu_route_attempt where route_code = 'dead' and status = 'failed'
  ) as answer`;
  await waitFor(() => ask<boolean>(sql, hasTried), 60_000);
  await sql.query(`update iu_outbound_route set enabled = false where route_code = 'dead'`);
  const isLeft = `select exists (select from iu_route_delivery) as answer`;
  for (const until = Date.now() + patienceMs; Date.now() < until && (await ask<boolean>(sql, isLeft)); ) {
    await sql.query(`select fn_iu_route_delivery_recall('dead', 5000, 'ana', 'the target is dead')`);
    await workers.check();
    await delay(50);
  }
}

async function attemptCounts(sql: pg.Client): Promise<Record<string, number>> {
  const { rows } = await sql.query<{ told: string; attempts: number }>(
    `select concat_ws(' ', route_code, status, failure_code) as told, count(*)::integer as attempts
     from iu_route_attempt group by 1 order by 1`,
  );
  return Object.fromEntries(rows.map(({ told, attempts }) => [told, attempts]));
}
