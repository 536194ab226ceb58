import pg from 'pg';
import { median } from '../benchmark.ts';
import { countOf } from '../drain/with-client.ts';
import { emitMore } from './emit-more.ts';
import { type Lane, rawLane, workerLane } from './lane.ts';

/** Median milliseconds per 1,000 events. */
export interface SideBySide {
  readonly worker: number;
  readonly raw: number;
}

interface Course {
  readonly worker: Lane;
  readonly raw: Lane;
  /** For everything that is not timed. */
  readonly client: pg.Client;
  readonly took: { readonly worker: number[]; readonly raw: number[] };
}

/**
 * Worker and raw statement in turns on each outbox, and the outboxes in turns, so that a busy moment of the machine meets
 * all alike. Each backlog is filled up again after each batch. A batch is timed only on events that the other has not
 * read yet, so that neither finds them warm; the other then follows over them, untimed. The first turn warms up.
 * @returns in the order of `urls`
 */
export async function measureSideBySide(
  urls: readonly string[],
  batch: number,
  batches: number,
): Promise<SideBySide[]> {
  const courses = await Promise.all(urls.map((url) => open(url, batch)));
  try {
    await courses[0]?.client.query('checkpoint');
    for (let turn = 0; turn <= batches; turn += 1)
      for (const course of courses) await takeTurns(course, batch, turn);
    for (const { client } of courses) await assertEqualCounts(client);
  } finally {
    for (const { worker, raw, client } of courses) await Promise.all([worker.end(), raw.end(), client.end()]);
  }
  const perThousand = (all: readonly number[]) => median(all.slice(1)) / (batch / 1_000);
  return courses.map(({ took }) => ({ worker: perThousand(took.worker), raw: perThousand(took.raw) }));
}

async function open(url: string, batch: number): Promise<Course> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const [worker, raw] = await Promise.all([workerLane(url, batch), rawLane(url, batch)]);
  return { worker, raw, client, took: { worker: [], raw: [] } };
}

async function takeTurns(course: Course, batch: number, turn: number): Promise<void> {
  const names = turn % 2 === 0 ? (['worker', 'raw'] as const) : (['raw', 'worker'] as const);
  for (const name of names) {
    const other = name === 'worker' ? 'raw' : 'worker';
    course.took[name].push(await course[name].batch());
    await fillUp(course.client, batch);
    await course[other].batch();
  }
}

/** The new rows are read once, so that whoever claims them finds them as a vacuumed row is: with its hint bits set. */
async function fillUp(client: pg.Client, events: number): Promise<void> {
  const { rows } = await client.query<{ id: string }>('select fn_iu_uuid_v7_at(clock_timestamp()) as id');
  await emitMore(client, events);
  await client.query('select count(payload) from event_outbox where id >= $1', [rows[0]?.id]);
}

async function assertEqualCounts(client: pg.Client): Promise<void> {
  const differing = await countOf(
    client,
    'select (select count(*) from iu_route_attempt) - (select count(*) from raw_attempt) as count',
  );
  if (differing !== 0) throw new Error(`the worker wrote ${differing} attempts more than the raw statement`);
}
