import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runNow, runWorker, settled, until } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildApp, effects, functionRoute } from './support/app-function.ts';
import {
  attempts,
  claim,
  conservedQueue,
  DEAD,
  liveRoute,
  queued,
  ROUTE,
  settle,
  tell,
} from './support/deliveries.ts';

const FIRST = 'iu_outbound_default';
const SECOND = 'beside';

describe.each([15, 18] as const)('two workers on one live route on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  let other: pg.Client;
  let otherPid: number;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    other = await database.connect();
    otherPid = await ask(other, 'select pg_backend_pid() as answer');
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('${SECOND}')`);
  });
  afterEach(async () => {
    await database.drop();
  });
  /** Waits until the other session waits for a transaction. */
  const othersWait = () =>
    until(client, 'select cardinality(pg_blocking_pids($1)) > 0 as answer', [otherPid]);

  describe('of a kind that is queued', () => {
    beforeEach(async () => {
      await liveRoute(client);
      await tell(client, 2);
    });

    test('one row for each event; the second says that it leaves it to the other', async () => {
      await runWorker(client, 100, FIRST);
      expect(await runWorker(client, 100, SECOND)).toMatchObject({ seen: 2, attempts_written: 2 });
      expect(await queued(client)).toBe(2);
      expect(await attempts(client, ROUTE, SECOND)).toEqual(['skipped #1', 'skipped #1']);
      expect(await conservedQueue(client)).toBe('balanced, 2 queued');
      await settle(client, await claim(client));
      expect(await attempts(client, ROUTE, FIRST)).toEqual(['sent #1 delivered', 'sent #1 delivered']);
      expect(await conservedQueue(client)).toBe('balanced');
    });

    test('one that comes after the delivery queues nothing', async () => {
      await runWorker(client, 100, FIRST);
      await settle(client, await claim(client));
      expect(await runWorker(client, 100, SECOND)).toMatchObject({ seen: 2, attempts_written: 2 });
      expect(await queued(client)).toBe(0);
      expect(await attempts(client, ROUTE, SECOND)).toEqual(['skipped #1', 'skipped #1']);
      expect(await conservedQueue(client)).toBe('balanced');
    });

    test.each([
      ['commits', 2, ['skipped #1', 'skipped #1']],
      ['rolls back', 2, []],
    ])(
      'one that comes while the first one’s transaction is open waits; the first %s',
      async (end, rows, told) => {
        await settled(client);
        await client.query('begin');
        await runNow(client, 100, FIRST);
        const waits = runNow(other, 100, SECOND);
        await othersWait();
        await client.query(end === 'commits' ? 'commit' : 'rollback');
        expect(await waits).toMatchObject({ status: 'ran', seen: 2 });
        expect(await queued(client)).toBe(rows);
        expect(await attempts(client, ROUTE, SECOND)).toEqual(told);
        await runWorker(client, 100, FIRST);
        expect(await queued(client)).toBe(2);
        expect(await conservedQueue(client)).toBe('balanced, 2 queued');
      },
    );

    test.each([
      ['commits', 0, ['skipped #1', 'skipped #1']],
      ['rolls back', 2, ['skipped #1', 'skipped #1']],
    ])(
      'one that comes while the delivery is being settled waits for it; the settling %s',
      async (end, rows, told) => {
        await runWorker(client, 100, FIRST);
        const lease = await claim(client);
        await client.query('begin');
        await settle(client, lease);
        const waits = runNow(other, 100, SECOND);
        await othersWait();
        await client.query(end === 'commits' ? 'commit' : 'rollback');
        expect(await waits).toMatchObject({ seen: 2, attempts_written: 2 });
        expect(await queued(client)).toBe(rows);
        expect(await attempts(client, ROUTE, SECOND)).toEqual(told);
        await settle(client, lease);
        expect(await attempts(client, ROUTE, FIRST)).toEqual(['sent #1 delivered', 'sent #1 delivered']);
        expect(await conservedQueue(client)).toBe('balanced');
      },
    );

    test('one whose forerunner failed for good tries for itself', async () => {
      await runWorker(client, 100, FIRST);
      await settle(client, await claim(client), DEAD);
      await runWorker(client, 100, SECOND);
      expect(await queued(client)).toBe(2);
      await settle(client, await claim(client));
      expect(await attempts(client, ROUTE, SECOND)).toEqual(['sent #1 delivered', 'sent #1 delivered']);
      expect(await conservedQueue(client)).toBe('balanced');
    });

    test('a letter whose event the other has delivered is resolved by its replay, which sends nothing', async () => {
      await runWorker(client, 100, FIRST);
      await settle(client, await claim(client), DEAD);
      await runWorker(client, 100, SECOND);
      await settle(client, await claim(client));
      const { rows } = await client.query(
        `select fn_iu_route_dead_letter_replay(dead_letter_id, 'me', 'a test') ->> 'decision' as decision
         from iu_route_dead_letter`,
      );
      expect(rows).toEqual([{ decision: 'skipped' }, { decision: 'skipped' }]);
      expect(await queued(client)).toBe(0);
      expect(
        await ask(client, `select count(*)::int as answer from iu_route_dead_letter where state = 'open'`),
      ).toBe(0);
      expect(await conservedQueue(client)).toBe('balanced');
    });
  });

  describe('of kind sql_function', () => {
    beforeEach(async () => {
      await buildApp(client);
      await functionRoute(client, ROUTE);
      await tell(client, 1, { n: 1 });
      await tell(client, 1, { n: 2 });
    });

    test('one call for each event, whoever comes first', async () => {
      await runWorker(client, 1, FIRST);
      await runWorker(client, 100, SECOND);
      await runWorker(client, 100, FIRST);
      expect(await effects(client)).toEqual(['1', '2']);
      expect(await attempts(client, ROUTE, FIRST)).toEqual(['sent #1 delivered', 'skipped #1']);
      expect(await attempts(client, ROUTE, SECOND)).toEqual(['skipped #1', 'sent #1 delivered']);
      expect(await queued(client)).toBe(0);
      expect(await conservedQueue(client)).toBe('balanced');
    });

    test.each([
      ['commits', ['skipped #1', 'skipped #1'], 2],
      ['rolls back', ['sent #1 delivered', 'sent #1 delivered'], 2],
    ])('the second waits for the first one’s open transaction, which %s', async (end, told, count) => {
      await settled(client);
      await client.query('begin');
      await runNow(client, 100, FIRST);
      const waits = runNow(other, 100, SECOND);
      await othersWait();
      await client.query(end === 'commits' ? 'commit' : 'rollback');
      await waits;
      await runWorker(client, 100, FIRST);
      expect(await attempts(client, ROUTE, SECOND)).toEqual(told);
      expect(await effects(client)).toHaveLength(count);
      expect(await queued(client)).toBe(0);
      expect(await conservedQueue(client)).toBe('balanced');
    });
  });

  test('an ordered route: what the other has queued is awaited, so the second never sends n+1 before n', async () => {
    await liveRoute(client, ROUTE, { ordered: true });
    const of = (n: number) =>
      ask<string>(
        client,
        `select fn_iu_emit_event('iu', 'told', 'a', null, jsonb_build_object('n', $1::int), 'a test') as answer`,
        [n],
      );
    await of(1);
    await of(2);
    await runWorker(client, 100, FIRST);
    await runWorker(client, 100, SECOND);
    const sent: unknown[] = [];
    for (let round = 0; round < 4; round += 1) {
      const lease = await claim(client);
      expect(lease.rows.length).toBeLessThanOrEqual(1);
      sent.push(...lease.rows.map((row) => JSON.parse(row.payload).n));
      await settle(client, lease);
      await runWorker(client, 100, SECOND);
      await runWorker(client, 100, FIRST);
    }
    expect(sent).toEqual([1, 2]);
    expect(await conservedQueue(client)).toBe('balanced');
  });

  test('an ordered route: a dead letter of the one holds the subject back for the other, too, until it is replayed', async () => {
    await liveRoute(client, ROUTE, { ordered: true });
    const of = () => client.query(`select fn_iu_emit_event('iu', 'told', 'a', null, '{}', 'a test')`);
    await of();
    await of();
    const both = async () => {
      await runWorker(client, 100, FIRST);
      await runWorker(client, 100, SECOND);
    };
    await both();
    await settle(client, await claim(client), DEAD);
    await both();
    expect(await queued(client)).toBe(0);
    expect(await conservedQueue(client)).toBe('balanced');
    await client.query(
      `select fn_iu_route_dead_letter_replay(dead_letter_id, 'me', 'a test') from iu_route_dead_letter`,
    );
    await both();
    expect(await queued(client)).toBe(1);
    await settle(client, await claim(client));
    await both();
    expect(await queued(client)).toBe(1);
    await settle(client, await claim(client));
    await both();
    expect(await queued(client)).toBe(0);
    expect(await conservedQueue(client)).toBe('balanced');
  });
});
