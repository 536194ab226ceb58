import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { allow, setConfig } from './support/deliveries.ts';

const GUARD = 'trg_iu_outbound_route_safe_guard';

describe.each([15, 18] as const)('the guard of live routes on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const write = (code: string, enabled: boolean, dryRun: boolean) =>
    client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
       values ($1, 'iu', 'told', 'report', 'daily', $2, $3)`,
      [code, enabled, dryRun],
    );
  const change = (code: string, what: string) =>
    client.query(`update iu_outbound_route set ${what} where route_code = $1`, [code]);
  const isLive = (code: string) =>
    ask<boolean>(
      client,
      'select enabled and not dry_run as answer from iu_outbound_route where route_code = $1',
      [code],
    );
  const list = (value: string | null) => setConfig(client, 'delivery_live_routes', value as string);

  test('a route that no list names is written in every state but enabled and live', async () => {
    expect(await sqlstateOf(write('a', true, false))).toBe('23514');
    await write('a', false, false);
    await write('b', true, true);
    await write('c', false, true);
    expect(await sqlstateOf(change('a', 'enabled = true'))).toBe('23514');
    expect(await sqlstateOf(change('b', 'dry_run = false'))).toBe('23514');
    expect(await sqlstateOf(change('c', 'enabled = true, dry_run = false'))).toBe('23514');
    await client.query(`set session_replication_role = replica`);
    expect(await sqlstateOf(change('b', 'dry_run = false'))).toBe('23514');
    expect(await sqlstateOf(write('d', true, false))).toBe('23514');
    for (const code of ['a', 'b', 'c']) expect(await isLive(code)).toBe(false);
  });

  test('a route on the list may be live, by every way', async () => {
    for (const code of ['a', 'b', 'c']) await allow(client, code);
    await write('a', true, false);
    await write('b', false, false);
    await write('c', true, true);
    await change('b', 'enabled = true');
    await change('c', 'dry_run = false');
    for (const code of ['a', 'b', 'c']) expect(await isLive(code)).toBe(true);
    // The gate asks for nothing here: it is asked for each event.
    expect(await ask(client, `select fn_iu_gate_open('iu_core.delivery_enabled') as answer`)).toBe(false);
  });

  test.each([
    ['a', true],
    [' a ', true],
    ['other,a', true],
    ['other , a ,more', true],
    ['other,\n\ta', true],
    ['A', false],
    ['aa, a.b, xa', false],
    ['a b', false],
    ['a;b', false],
    ['', false],
    [',', false],
    ['*', false],
  ])('the list %j names it: %s', async (value, names) => {
    await list(value);
    expect(await sqlstateOf(write('a', true, false))).toBe(names ? 'none' : '23514');
  });

  test('a list that is null, or not there, names nobody', async () => {
    await list(null);
    expect(await sqlstateOf(write('a', true, false))).toBe('23514');
    await client.query(`delete from dot_config where key = 'iu_core.delivery_live_routes'`);
    expect(await sqlstateOf(write('a', true, false))).toBe('23514');
  });

  test('a route that was taken off the list may be switched off, and not be written live again', async () => {
    await allow(client, 'a');
    await write('a', true, false);
    await list('');
    expect(await ask(client, `select fn_iu_delivery_open('a') as answer`)).toBe(false);
    expect(await sqlstateOf(change('a', `description = 'other'`))).toBe('23514');
    expect(await sqlstateOf(change('a', `target_ref = 'weekly'`))).toBe('23514');
    await change('a', 'dry_run = true');
    await change('a', 'enabled = false, dry_run = false');
    expect(await sqlstateOf(change('a', 'enabled = true'))).toBe('23514');
  });

  test('the error names the route and what to do, and no role but the owner may take the guard away', async () => {
    const error: unknown = await write('a', true, false).catch((one: unknown) => one);
    expect(error).toMatchObject({
      message: 'route a may not be live: iu_core.delivery_live_routes does not name it',
      hint: 'Allow it first, under approval, or keep it in dry run. Nothing was changed.',
      constraint: 'iu_outbound_route_safe_guard',
    });
    for (const role of ['iu_core_operator', 'iu_core_worker', 'iu_core_auditor', 'iu_core_emitter']) {
      await client.query(`set role ${role}`);
      expect(await sqlstateOf(client.query(`alter table iu_outbound_route disable trigger ${GUARD}`))).toBe(
        '42501',
      );
      expect(await sqlstateOf(write('a', true, false)), role).toBe('42501');
      await client.query('reset role');
    }
  });

  test('without the trigger a live route is accepted: it is what says no', async () => {
    await client.query(`alter table iu_outbound_route disable trigger ${GUARD}`);
    await write('a', true, false);
    expect(await isLive('a')).toBe(true);
  });
});
