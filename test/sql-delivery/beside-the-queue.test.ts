import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { oldEvent, oldPartition, staysBecause } from '../sql-worker/support/partitions.ts';
import { ask, runWorker, settled, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import {
  AGAIN,
  attempts,
  claim,
  conservedQueue,
  liveRoute,
  queue,
  queued,
  ROUTE,
  setConfig,
  settle,
  tell,
} from './support/deliveries.ts';

describe.each([15, 18] as const)('beside the queue on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client);
  });
  afterEach(async () => {
    await database.drop();
  });

  test('a partition with queued deliveries stays, due, leased or retried, and leaves when they are settled', async () => {
    const partition = await oldPartition(client, 60);
    await oldEvent(client, 60, {}, { type: 'told' });
    await runWorker(client);
    await setConfig(client, 'retention_enabled', 'true');
    const drop = () => client.query(`select fn_iu_retention_drop($1, 'me', 'a test')`, [partition]);
    const because = 'deliveries of it are queued';
    expect(await staysBecause(client, partition)).toBe(because);
    const lease = await claim(client);
    expect(await staysBecause(client, partition)).toBe(because);
    await settle(client, lease, { ...AGAIN, retry_ms: 0 });
    expect(await staysBecause(client, partition)).toBe(because);
    expect(await sqlstateOf(drop())).toBe('SL008');
    await settle(client, await claim(client));
    expect(await staysBecause(client, partition)).toBe(null);
    await drop();
    expect(await conservedQueue(client)).toBe('balanced');
  });

  test('a run in single steps queues, moves past what it queued, and refuses to move past what it did not', async () => {
    await tell(client, 2);
    await settled(client);
    const call = <T>(sql: string, values: unknown[] = []) =>
      ask<T>(client, `select ${sql} as answer`, values);
    await client.query('begin');
    expect(await call(`fn_iu_route_worker_open('iu_outbound_default')`)).toEqual({ status: 'open' });
    for (const _ of [1, 2]) {
      const { event_id: event, routes } = await call<{ event_id: string; routes: string[] }>(
        `fn_iu_route_worker_next('iu_outbound_default')`,
      );
      expect(routes).toEqual([ROUTE]);
      await client.query('savepoint before');
      expect(await sqlstateOf(call(`fn_iu_route_worker_advance('iu_outbound_default', $1)`, [event]))).toBe(
        'SL008',
      );
      await client.query('rollback to savepoint before');
      expect(await call(`fn_iu_route_worker_step('iu_outbound_default', $1, $2)`, [event, ROUTE])).toBe(0);
      await call(`fn_iu_route_worker_advance('iu_outbound_default', $1)`, [event]);
    }
    expect(await call(`fn_iu_route_worker_next('iu_outbound_default')`)).toBe(null);
    await client.query('commit');
    expect(await queue(client)).toEqual(['s1 #1 after 0', 's2 #1 after 0']);
    expect(await conservedQueue(client)).toBe('balanced, 2 queued');
    await settle(client, await claim(client));
    expect(await attempts(client)).toEqual(['sent #1 delivered', 'sent #1 delivered']);
  });

  test('a cursor that rests answers paused to every way of work, loses nothing, and goes on; what is queued is delivered', async () => {
    await tell(client, 1);
    await runWorker(client);
    await client.query(`update iu_route_worker_cursor set paused_because = 'a drill'`);
    await tell(client, 2);
    expect(await runWorker(client)).toMatchObject({ status: 'paused', seen: 0, attempts_written: 0 });
    expect(
      await ask(client, `select fn_iu_route_worker_open('iu_outbound_default') ->> 'status' as answer`),
    ).toBe('paused');
    expect(
      await ask(
        client,
        `select fn_iu_route_blocked_release('iu_outbound_default', 10, 'me', 'a test') ->> 'status' as answer`,
      ),
    ).toBe('paused');
    expect(await ask(client, `select fn_iu_route_worker_health() -> 'backlog' as answer`)).toBe(2);
    expect(await conservedQueue(client)).toBe('balanced, 1 queued');
    expect(await settle(client, await claim(client))).toMatchObject({ sent: 1 });
    expect(await sqlstateOf(client.query(`update iu_route_worker_cursor set paused_because = ' '`))).toBe(
      '23514',
    );
    await client.query('update iu_route_worker_cursor set paused_because = null');
    expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 2 });
    expect(await queued(client)).toBe(2);
    expect(await conservedQueue(client)).toBe('balanced, 2 queued');
  });

  test('only the named cursor rests', async () => {
    await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('beside');
      update iu_route_worker_cursor set paused_because = 'a drill' where cursor_code = 'iu_outbound_default'`);
    await tell(client, 1);
    expect(await runWorker(client, 10, 'beside')).toMatchObject({ status: 'ran', seen: 1 });
    expect(await runWorker(client)).toMatchObject({ status: 'paused' });
  });

  test('an event in a probe of its own is queued and rolled back with it, and nothing else is seen', async () => {
    await tell(client, 1);
    await runWorker(client);
    await client.query('begin isolation level repeatable read; select fn_iu_probe_begin()');
    await tell(client, 1);
    await client.query(`select fn_iu_route_worker_run('iu_outbound_default', 10)`);
    expect(await ask(client, `select fn_iu_route_worker_health() #> '{delivery,queued}' as answer`)).toBe(1);
    await client.query('rollback');
    expect(await queued(client)).toBe(1);
    expect(await conservedQueue(client)).toBe('balanced, 1 queued');
  });
});
