import type pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, emit } from '../sql-worker/support/worker.ts';

describe.each([15, 18] as const)('the outbox on PostgreSQL %i', (major) => {
  let client: pg.Client;
  beforeAll(async () => {
    client = await (await installed(major, 'outbox')).connect();
  });
  beforeEach(async () => {
    await client.query('begin');
  });
  afterEach(async () => {
    await client.query('rollback');
  });

  test('the database says in which transaction, epoch and moment an event was written', async () => {
    await client.query(
      `insert into event_outbox (event_domain, event_type, payload, actor, xact_id, epoch, created_at)
       values ('iu', 'forged', '{}', 'me', '1', 99, 'epoch')`,
    );
    const { rows } = await client.query(
      `select xact_id = pg_current_xact_id() as own, epoch, created_at > now() - interval '1 minute' as is_recent
       from event_outbox`,
    );
    expect(rows).toEqual([{ own: true, epoch: 1, is_recent: true }]);
  });

  test('events of one transaction are told apart by the moment they were written, not by its begin', async () => {
    await emit(client);
    await emit(client);
    expect(await ask(client, 'select count(distinct created_at)::int as answer from event_outbox')).toBe(2);
  });

  test('ids are uuids of version 7, in the order they were drawn', async () => {
    const { rows } = await client.query<{ id: string }>(
      'select fn_iu_uuid_v7()::text as id, pg_sleep(0.0001) from generate_series(1, 200)',
    );
    const ids = rows.map((row) => row.id);
    for (const id of ids)
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect([...ids].sort()).toEqual(ids);
    const drawnAt = Number.parseInt((ids[0] ?? '').replaceAll('-', '').slice(0, 12), 16);
    expect(Math.abs(Date.now() - drawnAt)).toBeLessThan(60_000);
  });

  test('after a restore into another cluster new events open the next epoch, once', async () => {
    await emit(client);
    await client.query('update iu_outbox_epoch set system_identifier = system_identifier + 1');
    await emit(client);
    await emit(client);
    const { rows } = await client.query(
      'select epoch, count(*)::int as events from event_outbox group by epoch order by 1',
    );
    expect(rows).toEqual([
      { epoch: 1, events: 1 },
      { epoch: 2, events: 2 },
    ]);
  });

  test('a temporary table of the same name catches no event', async () => {
    await client.query('create temp table event_outbox (like public.event_outbox)');
    await client.query('set local search_path = pg_temp, public');
    await emit(client);
    expect(await ask(client, 'select count(*)::int as answer from public.event_outbox')).toBe(1);
    expect(await ask(client, 'select count(*)::int as answer from pg_temp.event_outbox')).toBe(0);
  });
});
