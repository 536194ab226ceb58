import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { median, round } from '../benchmark.ts';
import type { BenchServer } from '../drain/start-server.ts';
import { countOf, withClient } from '../drain/with-client.ts';
import { emitMore } from './emit-more.ts';
import { runOnce } from './lane.ts';
import type { BacklogOptions } from './options.ts';
import { seedEvents } from './seed-events.ts';

const HOLDER = 'bench:holder';
const POLL_MS = 100;
const EVENTS_A_RUN = 500;
const WRITERS = 2;
const EVENTS_AT_ONCE = 500;

export type Held = Readonly<Record<string, string | number | boolean>>;

/**
 * Holds the horizon by an idle transaction in another database while producers write and the worker polls: first it
 * catches up with what was there before, then it finds nothing that it may take. Afterwards everything is drained.
 * @throws Error where an event above the mark was decided, the blocker was not named, or an event was lost
 */
export async function holdHorizon(
  server: BenchServer,
  database: string,
  options: BacklogOptions,
): Promise<Held> {
  const url = server.urlOf(database);
  const settled = Math.ceil(((options.hold / 2) * 1_000) / POLL_MS) * EVENTS_A_RUN;
  await withClient(url, async (client) => {
    await seedEvents(client, settled);
    await client.query('vacuum analyze');
  });
  const holder = new pg.Client({ connectionString: server.adminUrl, application_name: HOLDER });
  await holder.connect();
  const worker = new pg.Client({ connectionString: url });
  await worker.connect();
  const producers = startProducers(url);
  try {
    await holder.query('begin');
    const opened = await holder.query<{ pid: number; xid: string }>(
      'select pg_backend_pid() as pid, pg_current_xact_id()::text as xid',
    );
    const { pid = 0, xid = '0' } = opened.rows[0] ?? {};
    const { catchingUp, waiting } = await pollFor(worker, options.hold);
    const health = await healthOf(worker);
    const above = await countOf(worker, aboveMark(xid));
    const isNamed = health.blocker?.pid === pid && health.blocker.application === HOLDER;
    const written = await producers.stop();
    await holder.query('commit');

    const startedAt = performance.now();
    let drained = 0;
    for (;;) {
      const { seen } = await runOnce(worker, options.batch);
      if (seen === 0) break;
      drained += seen;
    }
    const drainSeconds = (performance.now() - startedAt) / 1_000;
    const { rows } = await worker.query<{ books: { balanced: boolean; events: number } }>(
      'select fn_iu_conservation() as books',
    );
    const decided = await countOf(worker, 'select count(distinct event_id) as count from iu_route_attempt');
    const lost = settled + written - decided;
    const isBalanced = rows[0]?.books.balanced === true;
    if (above > 0) throw new Error(`${above} events above the high-water mark were decided`);
    if (!isNamed)
      throw new Error(`health named ${JSON.stringify(health.blocker)}, not ${HOLDER} with pid ${pid}`);
    if (lost !== 0 || !isBalanced)
      throw new Error(`${lost} events are lost: ${JSON.stringify(rows[0]?.books)}`);
    return {
      seconds: options.hold,
      eventsAtOnce: EVENTS_A_RUN,
      runsCatchingUp: catchingUp.length,
      ...halves('msCatchingUp', catchingUp),
      runsWaiting: waiting.length,
      ...halves('msWaiting', waiting),
      unsettled: health.unsettled,
      decidedAboveMark: above,
      blockerNamed: isNamed,
      blocker: JSON.stringify(health.blocker),
      drainedAfterwards: drained,
      drainSeconds: round(drainSeconds),
      lost,
      balanced: isBalanced,
    };
  } finally {
    await producers.stop();
    await holder.end();
    await worker.end();
  }
}

const aboveMark = (xid: string) => `
  select count(*) as count
  from iu_route_attempt
  join event_outbox on event_outbox.id = iu_route_attempt.event_id
  where event_outbox.xact_id >= '${xid}'::xid8`;

/** Producers that go on until they are stopped; answers how many events they have committed. */
function startProducers(url: string): { stop: () => Promise<number> } {
  let isStopping = false;
  const produce = async () => {
    let written = 0;
    await withClient(url, async (client) => {
      while (!isStopping) {
        await emitMore(client, EVENTS_AT_ONCE);
        written += EVENTS_AT_ONCE;
        await pause(POLL_MS);
      }
    });
    return written;
  };
  const all = Promise.all(Array.from({ length: WRITERS }, produce));
  // An error of theirs is met by whoever stops them.
  all.catch(() => undefined);
  return {
    stop: async () => {
      isStopping = true;
      return (await all).reduce((sum, written) => sum + written, 0);
    },
  };
}

async function pollFor(
  worker: pg.Client,
  seconds: number,
): Promise<{ catchingUp: number[]; waiting: number[] }> {
  const catchingUp: number[] = [];
  const waiting: number[] = [];
  const until = performance.now() + seconds * 1_000;
  while (performance.now() < until || waiting.length < 20) {
    const startedAt = performance.now();
    const { seen } = await runOnce(worker, EVENTS_A_RUN);
    const took = performance.now() - startedAt;
    if (seen === EVENTS_A_RUN) catchingUp.push(took);
    if (seen === 0) waiting.push(took);
    await pause(POLL_MS);
  }
  return { catchingUp, waiting };
}

interface Health {
  readonly unsettled: number;
  readonly blocker: { readonly pid?: number; readonly application?: string } | null;
}

async function healthOf(client: pg.Client): Promise<Health> {
  const { rows } = await client.query<{ mark: Health }>(
    `select fn_iu_route_worker_health() -> 'high_water_mark' as mark`,
  );
  return rows[0]?.mark ?? { unsettled: 0, blocker: null };
}

/** Medians of the first and of the last half, so that a cost that grows while the horizon stands still shows. */
function halves(name: string, all: readonly number[]): Record<string, number> {
  const middle = Math.floor(all.length / 2);
  return {
    [`${name}First`]: round(median(all.slice(0, middle))),
    [`${name}Last`]: round(median(all.slice(middle))),
  };
}
