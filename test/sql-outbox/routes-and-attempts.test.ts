import type pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { sqlstateOf } from '../sql-worker/support/worker.ts';

const KINDS = ['sql_function', 'workflow', 'vector', 'report', 'directus_flow', 'external_endpoint'];
const EVENT = '0195f1a0-0000-7000-8000-000000000001';

describe.each([15, 18] as const)('routes and attempts on PostgreSQL %i', (major) => {
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
  const constraintOf = (refused: Promise<unknown>): Promise<string> =>
    refused.then(
      () => 'none',
      (error: { constraint?: string }) => error.constraint ?? String(error),
    );
  const route = (kind: string, enabled: boolean, dryRun: boolean) =>
    client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
       values ('r', 'iu', 'x', $1, 'somewhere', $2, $3)`,
      [kind, enabled, dryRun],
    );
  const attempt = (more: Record<string, unknown>) => {
    const row: Record<string, unknown> = {
      idempotency_key: `${EVENT}:r:w`,
      attempt_no: 1,
      event_id: EVENT,
      route_code: 'r',
      worker_code: 'w',
      decision: 'dry_run',
      status: 'dry_run',
      ...more,
    };
    const columns = Object.keys(row);
    return client.query(
      `insert into iu_route_attempt (${columns.join(', ')}) values (${columns.map((_, at) => `$${at + 1}`).join(', ')})`,
      columns.map((column) => row[column]),
    );
  };

  test('version_applied has a default route, enabled and in dry run', async () => {
    const { rows } = await client.query(
      'select route_code, event_domain, event_type, enabled, dry_run from iu_outbound_route',
    );
    expect(rows).toEqual([
      {
        route_code: 'iu_version_applied',
        event_domain: 'iu',
        event_type: 'version_applied',
        enabled: true,
        dry_run: true,
      },
    ]);
  });

  test.each(KINDS)('a target may be of kind %s', async (kind) => {
    expect((await route(kind, true, true)).rowCount).toBe(1);
  });

  test('a target of any other kind is refused', async () => {
    expect(await constraintOf(route('carrier_pigeon', true, true))).toBe('target_kind_is_known');
  });

  test('a route is never enabled and live at once', async () => {
    expect(await constraintOf(route('workflow', true, false))).toBe('iu_outbound_route_safe_chk');
  });

  test('a live route that is not enabled, and an enabled one in dry run, are allowed', async () => {
    expect((await route('workflow', false, false)).rowCount).toBe(1);
    expect(
      await constraintOf(client.query(`update iu_outbound_route set enabled = true where route_code = 'r'`)),
    ).toBe('iu_outbound_route_safe_chk');
  });

  test('an attempt is made once under its key and number', async () => {
    await attempt({});
    await attempt({ attempt_no: 2 });
    await client.query('savepoint before');
    const ofPartition = await constraintOf(attempt({}));
    await client.query('rollback to before');
    const { rows } = await client.query(
      `select whole.conname as name
       from pg_constraint as part
       join pg_constraint as whole on whole.oid = part.conparentid
       where part.conname = $1`,
      [ofPartition],
    );
    expect(rows).toEqual([{ name: 'iu_route_attempt_is_made_once' }]);
  });

  test.each([
    ['delivered without being sent', { delivered: true }, 'delivered_implies_sent'],
    ['numbered 0', { attempt_no: 0 }, 'attempt_no_is_positive'],
    ['keyed by another event', { idempotency_key: 'x:r:w' }, 'idempotency_key_begins_with_the_event'],
    ['decided by an unknown word', { decision: 'maybe' }, 'decision_is_known'],
    ['decided one way and stated another', { decision: 'sent' }, 'status_follows_the_decision'],
    ['failed without a code', { decision: 'failed', status: 'failed' }, 'a_failure_names_its_code'],
    ['without route and yet on one', { decision: 'no_route', status: 'skipped' }, 'no_route_names_no_route'],
  ])('an attempt that is %s is refused', async (_, more, constraint) => {
    expect(await constraintOf(attempt(more))).toBe(constraint);
  });

  test.each([
    ['sent and delivered', { decision: 'sent', status: 'sent', delivered: true }],
    ['failed with its code', { decision: 'failed', status: 'failed', failure_code: 'timeout' }],
    ['blocked', { decision: 'blocked', status: 'blocked' }],
    [
      'without route',
      { decision: 'no_route', status: 'skipped', route_code: null, idempotency_key: `${EVENT}:-:w` },
    ],
  ])('an attempt that is %s is recorded', async (_, more) => {
    expect((await attempt(more)).rowCount).toBe(1);
  });

  test('no role but the owner may change routes or attempts', async () => {
    for (const role of ['iu_core_emitter', 'iu_core_worker', 'iu_core_operator', 'iu_core_auditor']) {
      for (const table of ['iu_outbound_route', 'iu_route_attempt', 'event_outbox']) {
        await client.query('savepoint before');
        await client.query(`set local role ${role}`);
        expect(await sqlstateOf(client.query(`delete from ${table}`)), `${role} on ${table}`).toBe('42501');
        await client.query('rollback to before');
      }
    }
  });
});
