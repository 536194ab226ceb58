import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  AGAIN,
  attempts,
  claim,
  conservedQueue,
  DEAD,
  liveRoute,
  queue,
  queued,
  ROUTE,
  recall,
  resetCursor,
  settle,
  tell,
} from './support/deliveries.ts';

describe.each([15, 18] as const)('conservation of deliveries on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client);
    await tell(client, 3);
    await runWorker(client);
  });
  afterEach(async () => {
    await database.drop();
  });
  const turn = (what: string) =>
    client.query(`update iu_outbound_route set ${what} where route_code = '${ROUTE}'`);
  const replay = () =>
    client.query(
      `select fn_iu_route_dead_letter_replay(dead_letter_id, 'me', 'a test') from iu_route_dead_letter where state = 'open'`,
    );

  /** Brings the three events into a state; answers what the proof says then. */
  const STATES: readonly (readonly [name: string, proof: string, to: () => Promise<unknown>])[] = [
    ['queued', 'balanced, 3 queued', async () => undefined],
    ['leased', 'balanced, 3 queued', () => claim(client, 2)],
    ['retrying', 'balanced', async () => settle(client, await claim(client), { ...AGAIN, retry_ms: 60_000 })],
    ['settled, one still queued', 'balanced, 1 queued', async () => settle(client, await claim(client, 2))],
    ['dead-lettered', 'balanced', async () => settle(client, await claim(client), DEAD)],
    [
      'replayed and queued',
      'balanced',
      async () => {
        await settle(client, await claim(client), DEAD);
        await replay();
      },
    ],
    [
      'recalled',
      'balanced',
      async () => {
        await turn('dry_run = true');
        await recall(client);
      },
    ],
    [
      'recalled in part',
      'balanced, 2 queued',
      async () => {
        await turn('dry_run = true');
        await recall(client, 1);
      },
    ],
    ['queued for a route in dry run', 'balanced, 3 queued', () => turn('dry_run = true')],
    ['queued for a disabled route', 'balanced, 3 queued', () => turn('enabled = false')],
    [
      'of a deleted route',
      'balanced',
      async () => {
        await client.query('delete from iu_outbound_route where route_code = $1', [ROUTE]);
        await claim(client);
      },
    ],
  ];

  test.each(STATES)(
    '%s: %s, also after the cursor was set back and has claimed all again',
    async (_, proof, to) => {
      await to();
      expect(await conservedQueue(client)).toBe(proof);
      const before = await client.query('select * from iu_route_delivery order by event_id');
      const told = await attempts(client);
      await resetCursor(client);
      expect(await runWorker(client)).toMatchObject({ seen: 3 });
      expect((await client.query('select * from iu_route_delivery order by event_id')).rows).toEqual(
        before.rows,
      );
      expect(await attempts(client)).toEqual(told);
      expect(await conservedQueue(client)).toBe(proof);
    },
  );

  test.each([
    ['in dry run', 'dry_run = true', false],
    ['in dry run and ordered', 'dry_run = true, ordered_by_subject = true', false],
    ['disabled', 'enabled = false', true],
  ])(
    'queued, then %s and claimed again: the recall finds its attempt numbers free',
    async (_, what, disabled) => {
      await turn(what);
      await resetCursor(client);
      await runWorker(client);
      expect(await queued(client)).toBe(3);
      expect(await recall(client)).toEqual({ recalled: 3, still_queued: 0 });
      expect(await attempts(client)).toEqual(Array(3).fill(disabled ? 'skipped #1' : 'dry_run #1'));
      expect(await conservedQueue(client)).toBe('balanced');
    },
  );

  test('a queued event that vanishes is found missing: the proof can say no', async () => {
    await client.query('set role iu_core_owner');
    await client.query(
      'delete from iu_route_delivery where event_id = (select event_id from iu_route_delivery order by event_id limit 1)',
    );
    await client.query('reset role');
    expect(await conservedQueue(client)).toMatch(/^NOT balanced/);
  });

  test('an attempt number that is left out is found: the proof can say no', async () => {
    await client.query('set role iu_core_owner');
    await client.query('update iu_route_delivery set attempt_no = 2');
    await client.query('reset role');
    await settle(client, await claim(client));
    expect(await conservedQueue(client)).toMatch(/^NOT balanced/);
  });

  test('what waits is told for each worker and route, and health tells what is due, leased and retried', async () => {
    await liveRoute(client, 'second', { kind: 'report', ref: 'daily' });
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('beside')`);
    await tell(client, 1);
    await runWorker(client, 100, 'beside');
    await runWorker(client);
    expect(await ask(client, `select fn_iu_conservation() -> 'queued_deliveries' as answer`)).toEqual([
      { worker_code: 'beside', route_code: ROUTE, events: 1 },
      { worker_code: 'beside', route_code: 'second', events: 4 },
      { worker_code: 'iu_outbound_default', route_code: ROUTE, events: 3 },
    ]);
    await settle(client, await claim(client, 1), { ...AGAIN, retry_ms: 600_000 });
    await claim(client, 2);
    expect(await ask(client, `select fn_iu_route_worker_health() -> 'delivery' as answer`)).toMatchObject({
      queued: 8,
      due: 7,
      leased: 2,
      retrying: 1,
      not_live: [],
    });
    expect(await queue(client)).toHaveLength(4);
  });

  test('a delivery that is due for too long makes health say so, with the routes that are not live', async () => {
    const healthy = () => ask<string[]>(client, `select fn_iu_route_worker_health() -> 'reasons' as answer`);
    expect(await healthy()).toEqual([]);
    await client.query('set role iu_core_owner');
    await client.query(`update iu_route_delivery set due_at = clock_timestamp() - interval '301 s'`);
    await client.query('reset role');
    expect(await healthy()).toEqual([
      expect.stringMatching(/^3 deliveries are queued, the longest due for 301\.\d+ s, the limit is 300 s$/),
    ]);
    await turn('enabled = false');
    expect(await healthy()).toEqual([expect.stringContaining(`; not live now: ["${ROUTE}"]`)]);
    await turn('dry_run = true');
    await recall(client);
    expect(await healthy()).toEqual([]);
  });
});
