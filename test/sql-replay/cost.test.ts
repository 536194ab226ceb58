import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, callingRoute } from './support/replay-app.ts';
import { opened, type StepOptions } from './support/replays.ts';

const LETTERS = 20_000;
/** So few that the events are looked up by their ids: of 100 of 20,000 the planner rather reads all. */
const BATCH = 20;

describe.each([15, 18] as const)('what a step reads on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  let hash: string;
  beforeAll(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one');
    await client.query(`update dot_config set value = '1000000' where key = 'iu_core.replay_approval_above'`);
    await fill();
    hash = await opened(client, {
      attempts: 2,
      initialIntervalMs: 3_600_000,
      maximumIntervalMs: 3_600_000,
      failureLimit: LETTERS,
    });
    await client.query(`
      create function rows_read() returns bigint language sql as $$
        select sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched(c.oid))::bigint
        from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'i')
      $$`);
  }, 300_000);
  afterAll(async () => {
    await database.drop();
  });
  const step = (session: pg.Client, { limit = BATCH, window = 10_000 }: StepOptions = {}) =>
    ask<{ taken: number; status: string }>(
      session,
      `select fn_iu_replay_step($1, 'run-1', 'end', $2, $3) as answer`,
      [hash, limit, window],
    );
  /** In a session of its own: nothing that it has planned before helps it. What it did is rolled back. */
  const readBy = async (work: (session: pg.Client) => Promise<unknown>) => {
    const session = await database.connect();
    await session.query('begin');
    const before = Number(await ask<string>(session, 'select rows_read() as answer'));
    await work(session);
    const after = Number(await ask<string>(session, 'select rows_read() as answer'));
    await session.query('rollback');
    await session.end();
    return after - before;
  };
  const aStep = () =>
    readBy(async (session) => {
      expect(await step(session)).toMatchObject({ status: 'working', taken: BATCH });
    });
  const advance = async (letters: number) => {
    for (let done = 0; done < letters; done += 5_000)
      await step(client, { limit: Math.min(5_000, letters - done) });
  };

  /** Letters of events that the function takes by now, as a run leaves them. */
  async function fill(): Promise<void> {
    await client.query(
      `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
       select 'iu', 'one', 's' || n, jsonb_build_object('n', 'n' || n), 'a test' from generate_series(1, $1::int) as n`,
      [LETTERS],
    );
    await client.query(`
      insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, failure_code)
      select id || ':one:iu_outbound_default', 1, id, 'one', 'iu_outbound_default', 'failed', 'failed', 'x' from event_outbox`);
    await client.query(`
      insert into iu_route_dead_letter
        (idempotency_key, event_id, route_code, worker_code, event, route, last_attempt, failure_code, fingerprint)
      select id || ':one:iu_outbound_default', id, 'one', 'iu_outbound_default', to_jsonb(event_outbox), '{}',
        '{"attempt_no": 1}', 'x', 'x'
      from event_outbox`);
  }

  test('is as much as it touches, at the beginning, in the middle, at the end, analysed or not', async () => {
    const begin = await aStep();
    expect(begin).toBeGreaterThan(BATCH);
    expect(begin).toBeLessThan(BATCH * 60);
    await advance(LETTERS / 2);
    const middle = await aStep();
    await client.query('analyze');
    const analysed = await aStep();
    await advance(LETTERS / 2 - BATCH);
    const end = await aStep();
    for (const [when, read] of Object.entries({ middle, analysed, end }))
      expect(read, `${when}, ${begin} at the beginning`).toBeLessThan(begin * 3);
    // The control: the counter sees what is read.
    expect(
      await readBy((session) => session.query('select count(tries) from iu_replay_letter')),
    ).toBeGreaterThan(LETTERS - 1);
  }, 300_000);

  test('does not grow with the repeats that are due later', async () => {
    const before = await aStep();
    await client.query(
      `update iu_replay_letter set state = 'waiting', due_at = clock_timestamp() + interval '1 h', tries = 1
       where place <= ${LETTERS - BATCH}`,
    );
    await client.query('vacuum iu_replay_letter');
    const after = await aStep();
    expect(after, `${before} without repeats`).toBeLessThan(before + 100);
  }, 120_000);
});
