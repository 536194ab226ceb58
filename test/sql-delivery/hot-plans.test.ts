import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { plansInside } from '../sql-worker/support/hot-plan.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { claim, KINDS, liveRoute, ROUTE, SENT, settle, type WorkEntry } from './support/deliveries.ts';

const TOKEN = '00000000-0000-4000-8000-000000000001';
const CLAIM = `select * from fn_iu_route_delivery_claim('${ROUTE}', 5, 60000, gen_random_uuid(), 'a test')`;
/** Settles what a claim in the same transaction took, and where that is nothing, something that nobody holds. */
const settling = (outcome: string) => `select fn_iu_route_delivery_settle('${ROUTE}', '${TOKEN}', (
  select coalesce(jsonb_agg(outcome), jsonb_build_array(jsonb_build_object('event_id', gen_random_uuid(), ${outcome})))
  from (
    select jsonb_build_object('event_id', event_id, ${outcome}) as outcome
    from fn_iu_route_delivery_claim('${ROUTE}', 5, 60000, '${TOKEN}', 'a test')) as claimed))`;
const SETTLE = settling(`'status', 'sent', 'delivered', true`);
const SETTLE_FAILURES = settling(`'status', 'failed', 'code', 'http_503', 'retry_ms', 5000`);
const RESOLVED = 'state_actor = done.actor';
const RESOLVE = `select fn_iu_dead_letters_resolve('{a,b}', '{ana,ben}', '{x,y}', array['{}', '{}']::jsonb[])`;
const WORK = `select fn_iu_route_delivery_work('{${KINDS.join(',')}}')`;
const QUEUED = 200_000;

describe.each([15, 18] as const)('the plans of delivery on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  const empty = new Map<string, string>();
  const full = new Map<string, string>();
  const HOT = [
    ['claim', CLAIM, 'due as materialized'],
    ['settle', SETTLE, 'good as materialized'],
    ['settle-failures', SETTLE_FAILURES, 'outcome as materialized'],
  ] as const;

  beforeAll(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client);
    await client.query('select fn_iu_retention_prepare()');
    for (const [name, call, containing] of HOT) empty.set(name, await hotPlan(call, containing));
    await fill(client);
    for (const [name, call, containing] of HOT) {
      const plan = await hotPlan(call, containing);
      full.set(name, plan);
      if (process.env.SLUICE_PLANS_ACCEPT === '1') writeFileSync(golden(name), plan);
    }
  }, 300_000);

  const golden = (name: string) => join(import.meta.dirname, 'plans', `${name}.${major}.txt`);
  const accepted = (name: string) => (existsSync(golden(name)) ? readFileSync(golden(name), 'utf8') : '');
  /** In a session of its own: the plan is made once for each. */
  const hotPlan = async (call: string, containing: string, before = '') => {
    const session = await database.connect();
    try {
      const [plan = '', ...more] = await plansInside(session, `${before}; ${call}`, containing);
      expect(more).toEqual([]);
      return plan;
    } finally {
      await session.end();
    }
  };

  test.each(HOT)(
    'of the %s is the accepted one behind 200,000 queued deliveries, analysed (SLUICE_PLANS_ACCEPT=1 accepts it)',
    (name) => {
      expect(full.get(name)).toBe(accepted(name));
    },
  );

  test.each(HOT)('of the %s is the same with no rows and no statistics', (name) => {
    expect(empty.get(name)).toBe(accepted(name));
  });

  test('a claim reads due rows in order under a limit, and its bounds are those of the index', () => {
    const plan = full.get('claim') ?? '';
    expect(plan).toMatch(
      /Limit\n +-> {2}LockRows\n +-> {2}Index Scan using iu_route_delivery_due on iu_route_delivery/,
    );
    expect(plan).toMatch(/Index Cond: \(\(\(route_code \|\| ''::text\) = \$\d+\) AND \(due_at <= \$\d+\)\)/);
    expect(plan).toMatch(/Tid Scan on iu_route_delivery/);
    expect(plan).not.toMatch(/Sort|Seq Scan|Bitmap/);
  });

  test('a settling of first tries that went well looks up each delivery by its event, once, and nothing else', () => {
    const plan = full.get('settle') ?? '';
    expect(plan.match(/ on (?:iu|event)_\w+/g)).toEqual([
      ' on iu_route_delivery',
      ' on iu_route_delivery',
      ' on iu_route_attempt',
    ]);
    expect(plan).toMatch(
      /Index Scan using iu_route_delivery_pkey on iu_route_delivery\n +Index Cond: \(event_id = good\.event_id\)/,
    );
  });

  test('a settling of failures looks up each delivery by its key, and never the queue, nor every letter', () => {
    const plan = full.get('settle-failures') ?? '';
    expect(plan.match(/Scan (?:using \S+ )?on iu_route_delivery/g)).toEqual([
      'Scan using iu_route_delivery_pkey on iu_route_delivery',
      'Scan on iu_route_delivery',
      'Scan on iu_route_delivery',
    ]);
    expect(plan.match(/Tid Scan on iu_route_delivery/g)).toHaveLength(2);
    expect(plan).toMatch(/event_outbox_of_a_day_pkey on event_outbox_of_a_day event_outbox {2}\(8 times\)/);
    expect(plan).not.toMatch(
      /Sort Key: (?!event_outbox\.id|mine\.worker_code)|(?:Seq|Bitmap Heap) Scan on|Join Filter/,
    );
  });

  test('a settling of replays looks up each letter by its key, and never every letter', async () => {
    const byKey = /one_letter_for_each_key on iu_route_dead_letter\n +Index Cond: \(idempotency_key = ANY/;
    const plan = await hotPlan(RESOLVE, RESOLVED);
    expect(plan).toMatch(byKey);
    expect(plan).not.toMatch(/(?:Seq|Bitmap Heap) Scan on|Nested Loop/);
    const without = 'alter table iu_route_dead_letter drop constraint one_letter_for_each_key';
    expect(await hotPlan(RESOLVE, RESOLVED, without)).not.toMatch(byKey);
  });

  test.each([
    ['claim', 'drop index iu_route_delivery_due'],
    ['settle', 'alter table iu_route_delivery drop constraint iu_route_delivery_pkey'],
    ['settle-failures', 'alter table iu_route_delivery drop constraint iu_route_delivery_pkey'],
  ])('of the %s is another one without its index, and the comparison says so', async (name, before) => {
    const [, call = '', containing = ''] = HOT.find(([one]) => one === name) ?? [];
    expect(await hotPlan(call, containing, before)).not.toBe(accepted(name));
  });

  describe('what is read, counted by the server', () => {
    const rowsRead = async (work: (session: pg.Client) => Promise<unknown>) => {
      const session = await database.connect();
      const read = () =>
        ask<number>(
          session,
          `select (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)
             + (select sum(idx_tup_read) from pg_stat_xact_user_indexes_read()))::int as answer
           from pg_stat_xact_user_tables where relname = 'iu_route_delivery'`,
        );
      await session.query('begin; set local max_parallel_workers_per_gather = 0');
      const before = await read();
      await work(session);
      const after = await read();
      await session.query('rollback');
      await session.end();
      return after - before;
    };
    beforeAll(async () => {
      // The counters of indexes in this transaction; PostgreSQL has them as functions only.
      await client.query(`create or replace function pg_stat_xact_user_indexes_read() returns table (idx_tup_read bigint)
        language sql as $$ select pg_stat_get_xact_tuples_returned(indexrelid) from pg_index
        where indrelid = 'iu_route_delivery'::regclass $$`);
    });

    test('asking what there is to do reads a few rows of each route', async () => {
      let routes: readonly WorkEntry[] = [];
      const read = await rowsRead(async (session) => {
        ({ routes } = await ask<{ routes: WorkEntry[] }>(session, `${WORK} as answer`));
      });
      expect(routes.map((route) => route.state)).toEqual(['removed', 'ready']);
      expect(read).toBeGreaterThan(0);
      expect(read).toBeLessThan(6_000);
      expect(
        await rowsRead((session) => session.query('select count(detail) from iu_route_delivery')),
      ).toBeGreaterThan(QUEUED - 1);
    });

    test('claiming and settling 100 reads hundreds, not the queue', async () => {
      const read = await rowsRead(async (session) => {
        const lease = await claim(session, 100);
        expect(lease.rows).toHaveLength(100);
        expect(await settle(session, lease, SENT)).toMatchObject({ settled: 100 });
      });
      expect(read).toBeGreaterThan(100);
      expect(read).toBeLessThan(6_000);
    });
  });

  /** Four fifths are those of the route: some leased by claims under way, one in four due later; the rest another's. */
  async function fill(writer: pg.Client): Promise<void> {
    const lease = randomUUID();
    await writer.query(
      `insert into iu_route_lease (lease_token, route_code, leased_by, leased_until)
       values ($1, $2, 'a test', clock_timestamp() + interval '1 h')`,
      [lease, ROUTE],
    );
    for (let part = 0; part < QUEUED; part += 20_000)
      await writer.query(
        `insert into iu_route_delivery
           (event_id, route_code, worker_code, attempt_no, target_kind, target_ref, request, safe_payload, due_at, lease_token)
         select fn_iu_uuid_v7(), case when n % 5 = 0 then 'another' else $1 end, 'iu_outbound_default', 1,
           'external_endpoint', 'https://receiver.example/in', '{}', '{}',
           clock_timestamp() + case when n % 4 = 1 then interval '1 h' else '0' end,
           case when $2::int + n <= 3000 then $3::uuid end
         from generate_series(1, 20000) as n`,
        [ROUTE, part, lease],
      );
    await writer.query('vacuum (analyze) iu_route_delivery');
    await writer.query('analyze');
  }
});
