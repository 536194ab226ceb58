import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { plansInside } from './support/hot-plan.ts';
import { installed } from './support/installed.ts';
import { ask, runWorker } from './support/worker.ts';

const RUN = `select fn_iu_route_worker_run('iu_outbound_default', 500)`;
const HOT = 'claimed as materialized';

describe.each([15, 18] as const)('the plan of the hot statement on PostgreSQL %i', (major) => {
  const golden = join(import.meta.dirname, 'plans', `route_worker_pass.${major}.txt`);
  let database: TestDatabase;
  let empty: string;
  let full: string;
  beforeAll(async () => {
    database = await installed(major, 'live');
    const client = await database.connect();
    await client.query('select fn_iu_retention_prepare()');
    empty = await hotPlan();
    await fill(client);
    full = await hotPlan();
    if (process.env.SLUICE_PLANS_ACCEPT === '1') writeFileSync(golden, full);
  }, 300_000);

  /** In a session of its own: the plan is made once for each. */
  const hotPlan = async (before = ''): Promise<string> => {
    const session = await database.connect();
    try {
      const [plan = '', ...more] = await plansInside(session, `${before}; ${RUN}`, HOT);
      expect(more).toEqual([]);
      return plan;
    } finally {
      await session.end();
    }
  };
  const accepted = () => (existsSync(golden) ? readFileSync(golden, 'utf8') : '');

  test('is the accepted one behind 100,000 events and attempts, analysed (SLUICE_PLANS_ACCEPT=1 accepts it)', () => {
    expect(full).toBe(accepted());
  });

  test('is the same with no rows and no statistics', () => {
    expect(empty).toBe(accepted());
  });

  test('reads the outbox in commit order under a limit, sorts none of it, and scans no partition through', () => {
    const claimed = /^ *CTE claimed\n(?:.*\n)*?(?= *CTE )/m.exec(full)?.[0] ?? '';
    const [, first = ''] = claimed.split('\n');
    expect(first).toMatch(/-> {2}Limit$/);
    expect(claimed).toMatch(/Merge Append/);
    expect(
      claimed.match(/Index Scan using \S*(?:epoch_xact_id_created_at_id|in_commit_order)\S* on /g),
    ).toHaveLength(2);
    expect(claimed).toMatch(/of_a_day event_outbox {2}\(8 times\)$/m);
    expect(claimed).not.toMatch(/Sort\b(?! Key)/);
    expect(full).not.toMatch(/(?:Seq|Bitmap Heap) Scan on (?:event_outbox|iu_route_attempt|iu_route_held)/);
  });

  test('is another one without the index in commit order, and the comparison says so', async () => {
    const without = await hotPlan('drop index event_outbox_in_commit_order');
    expect(without).not.toBe(accepted());
    expect(without).toMatch(/Sort Key: event_outbox/);
  });

  test.each([
    [
      'next event of a run in single steps',
      `select fn_iu_route_worker_next('iu_outbound_default')`,
      'jsonb_build_object',
    ],
    [
      'events that are older than the safety lag',
      `update iu_route_worker_cursor set safety_lag = '1 ms'; ${RUN}`,
      'rows unbounded preceding',
    ],
  ])('the %s is looked for in commit order, too', async (_, call, containing) => {
    const session = await database.connect();
    const plans = await plansInside(session, call, containing);
    for (const plan of plans) expect(plan).not.toMatch(/(?:Seq|Bitmap Heap) Scan on event_outbox/);
    await session.end();
  });
});

/** 100,000 events with their attempts, and 1,000 that are still to be decided. */
async function fill(client: pg.Client): Promise<void> {
  const written = (count: number) =>
    client.query(
      `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
       select 'iu', 'version_applied', 'docs/' || n % 1000, '{}', 'a test' from generate_series(1, $1) as n`,
      [count],
    );
  // One small transaction after another: each holds back the high-water mark of the whole server.
  for (let part = 0; part < 20; part += 1) await written(5_000);
  while ((await runWorker(client, 5_000)).seen > 0);
  expect(await ask(client, 'select count(*)::int as answer from iu_route_attempt')).toBe(100_000);
  await written(1_000);
  await client.query('analyze');
}
