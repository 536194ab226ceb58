import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { createDatabase } from '../support/create-database.ts';
import { BASE_FILES, installed, WORKER_FILES } from './support/installed.ts';
import { applyFile } from './support/run-file.ts';
import { ask, emit, runWorker } from './support/worker.ts';

interface Proof {
  readonly balanced: boolean;
  readonly cursors: readonly {
    readonly events_up_to_cursor: number;
    readonly events_without_attempt: readonly string[];
  }[];
  readonly first_decisions: readonly {
    readonly route_code: string | null;
    readonly decision: string;
    readonly attempts: number;
  }[];
  readonly attempts_without_event: readonly string[];
  readonly versions_after_the_first: number | null;
  readonly versions_without_event: readonly string[];
}

const proofOf = (client: pg.Client) => ask<Proof>(client, 'select fn_iu_conservation() as answer');

describe.each([15, 18] as const)('conservation on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });

  test('balances events up to the cursor against first decisions, per route', async () => {
    await emit(client);
    await emit(client);
    await emit(client, {}, 'nobody_wants_it');
    await runWorker(client);
    await emit(client);
    expect(await proofOf(client)).toMatchObject({
      balanced: true,
      events: 4,
      cursors: [
        {
          cursor_code: 'iu_outbound_default',
          events_up_to_cursor: 3,
          events_decided: 3,
          events_without_attempt: [],
        },
      ],
      first_decisions: [
        { route_code: 'iu_version_applied', decision: 'dry_run', attempts: 2 },
        { route_code: null, decision: 'no_route', attempts: 1 },
      ],
      queued_deliveries: [],
    });
  });

  test('lists the event that the cursor has passed without a decision', async () => {
    const lost = await emit(client);
    await emit(client);
    await runWorker(client);
    await client.query('alter table iu_route_attempt disable trigger trg_iu_attempt_append_only');
    await client.query('delete from iu_route_attempt where event_id = $1', [lost]);
    expect(await proofOf(client)).toMatchObject({
      balanced: false,
      cursors: [{ events_without_attempt: [lost] }],
    });
  });

  test('lists the match that one of two routes has not recorded, once that route was in effect', async () => {
    const addRoute = (code: string) =>
      client.query(
        `insert into iu_outbound_route (route_code, event_domain, event_type, event_filter, target_kind, target_ref, enabled)
         values ($1, 'iu', 'version_applied', '$.big ? (@ > 10)', 'report', 'r', true)`,
        [code],
      );
    await addRoute('big_ones');
    const big = await emit(client, { big: 11 });
    await emit(client, { big: 9 });
    await runWorker(client);
    await addRoute('too_late_for_these');
    expect(await proofOf(client)).toMatchObject({ balanced: true, matches_without_attempt: [] });
    await client.query('alter table iu_route_attempt disable trigger trg_iu_attempt_append_only');
    await client.query(`delete from iu_route_attempt where route_code = 'big_ones'`);
    expect(await proofOf(client)).toMatchObject({
      balanced: false,
      cursors: [{ events_without_attempt: [] }],
      matches_without_attempt: [`${big}:big_ones:iu_outbound_default`],
      matches_without_attempt_count: 1,
    });
  });

  test('lists the attempt whose event is gone, and the key that misses a number', async () => {
    const gone = await emit(client);
    await runWorker(client);
    await client.query('alter table event_outbox disable trigger trg_iu_outbox_append_only');
    await client.query('delete from event_outbox where id = $1', [gone]);
    expect(await proofOf(client)).toMatchObject({ balanced: false, attempts_without_event: [gone] });
    await client.query(
      `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status)
       select idempotency_key, 3, event_id, route_code, worker_code, decision, status from iu_route_attempt`,
    );
    expect(await proofOf(client)).toMatchObject({
      keys_with_missing_attempt_numbers: [`${gone}:iu_version_applied:iu_outbound_default`],
    });
  });

  test('lists the version after the first that told nobody', async () => {
    await client.query(`select fn_iu_create_unit('a.md#b', 'B', 'one', 'me')`);
    await client.query(`select fn_iu_add_version('a.md#b', 'two', 'me')`);
    expect(await proofOf(client)).toMatchObject({
      balanced: true,
      versions_after_the_first: 1,
      versions_without_event: [],
    });
    await client.query('alter table unit_version disable trigger trg_iu_out_version');
    const silent = await ask<string>(
      client,
      `select version_id as answer from fn_iu_add_version('a.md#b', 'three', 'me')`,
    );
    expect(await proofOf(client)).toMatchObject({
      balanced: false,
      versions_after_the_first: 2,
      versions_without_event: [silent],
    });
  });

  test('balances after a reset cursor has come round again', async () => {
    await emit(client);
    await emit(client);
    await runWorker(client);
    await client.query(
      `update iu_route_worker_cursor
       set cursor_epoch = null, cursor_xact_id = null, cursor_created_at = null, cursor_event_id = null`,
    );
    expect(await proofOf(client)).toMatchObject({ balanced: true });
    await runWorker(client, 1);
    expect(await proofOf(client)).toMatchObject({ balanced: true, cursors: [{ events_up_to_cursor: 1 }] });
  });

  test('can be asked where there are no units at all, and in a READ ONLY transaction', async () => {
    const bare = await createDatabase({ major });
    const asked = await bare.connect();
    for (const path of [...BASE_FILES, ...WORKER_FILES]) await applyFile(asked, path);
    await asked.query('begin read only');
    expect(await proofOf(asked)).toMatchObject({ balanced: true, versions_after_the_first: null });
    await asked.query('rollback');
    await bare.drop();
  });

  test('an auditor may ask, an emitter may not', async () => {
    await client.query('set role iu_core_auditor');
    expect(await proofOf(client)).toMatchObject({ balanced: true });
    await client.query('set role iu_core_emitter');
    await expect(proofOf(client)).rejects.toMatchObject({ code: '42501' });
    await client.query('reset role');
  });
});
