import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { ask, sqlstateOf } from './support/worker.ts';

interface Change {
  readonly control: string;
  readonly name: string;
  readonly was: Record<string, unknown> | null;
  readonly became: Record<string, unknown> | null;
  readonly login: string;
  readonly actor: string | null;
  readonly reason: string | null;
}

describe.each([15, 18] as const)('changes of controls on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  let before: number;
  beforeEach(async () => {
    database = await installed(major, 'inert');
    client = await database.connect();
    before = await ask<number>(client, 'select max(change_no)::int as answer from iu_control_change');
  });
  afterEach(async () => {
    await database.drop();
  });
  const changes = async (): Promise<Change[]> => {
    const { rows } = await client.query<Change>(
      `select control, name, was, became, login, actor, reason from iu_control_change
       where change_no > $1 order by change_no`,
      [before],
    );
    return rows;
  };
  const ROUTE = `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled)
    values ('r', 'iu', 'x', 'report', 'here', true)`;

  test('what the installing set is there, from nothing', async () => {
    const { rows } = await client.query(
      `select control, name from iu_control_change where was is null order by change_no`,
    );
    expect(rows).toContainEqual({ control: 'config', name: 'iu_core.outbound_enabled' });
    expect(rows).toContainEqual({ control: 'config', name: 'iu_core.retention_keep_days' });
    expect(rows).toContainEqual({ control: 'route', name: 'iu_version_applied' });
    expect(
      await ask(
        client,
        `select array_agg(key order by key collate "C") = (
           select array_agg(name order by name collate "C") from iu_control_change where control = 'config') as answer
         from dot_config`,
      ),
    ).toBe(true);
  });

  test.each([
    ['a gate', 'iu_core.some_enabled', 'false', 'true'],
    ['a limit', 'iu_core.some_limit', '1', '2'],
  ])('%s that is made, changed and removed is three changes, with the login', async (_, key, was, became) => {
    await client.query('insert into dot_config (key, value) values ($1, $2)', [key, was]);
    await client.query('update dot_config set value = $2 where key = $1', [key, became]);
    await client.query('delete from dot_config where key = $1', [key]);
    const login = await ask<string>(client, 'select session_user as answer');
    const same = { control: 'config', name: key, login, actor: null, reason: null };
    expect(await changes()).toEqual([
      { ...same, was: null, became: { key, value: was } },
      { ...same, was: { key, value: was }, became: { key, value: became } },
      { ...same, was: { key, value: became }, became: null },
    ]);
  });

  test('a route that is made, changed and removed is three changes, each with the whole route', async () => {
    await client.query(ROUTE);
    await client.query(`update iu_outbound_route set enabled = false where route_code = 'r'`);
    await client.query(`delete from iu_outbound_route where route_code = 'r'`);
    const [made, changed, removed, ...more] = await changes();
    expect(more).toEqual([]);
    expect(made).toMatchObject({ control: 'route', name: 'r', was: null, became: { enabled: true } });
    expect(changed).toMatchObject({
      was: { enabled: true, target_ref: 'here' },
      became: { enabled: false, target_ref: 'here' },
    });
    expect(removed).toMatchObject({ was: { enabled: false }, became: null });
    expect(made?.became).not.toHaveProperty('updated_at');
  });

  test('actor and reason are those of the transaction’s settings, and of that transaction only', async () => {
    await client.query('begin');
    await client.query(
      `select set_config('sluice.actor', 'Ada', true), set_config('sluice.reason', 'a drill', true)`,
    );
    await client.query(`update dot_config set value = '99' where key = 'iu_core.retention_keep_days'`);
    await client.query(ROUTE);
    await client.query('commit');
    await client.query(`update dot_config set value = '98' where key = 'iu_core.retention_keep_days'`);
    expect((await changes()).map(({ name, actor, reason }) => [name, actor, reason])).toEqual([
      ['iu_core.retention_keep_days', 'Ada', 'a drill'],
      ['r', 'Ada', 'a drill'],
      ['iu_core.retention_keep_days', null, null],
    ]);
  });

  test('closing a gate records its actor and its reason; closing it again records nothing', async () => {
    await client.query(`update dot_config set value = 'true' where key = 'iu_core.route_worker_enabled'`);
    for (let time = 0; time < 2; time += 1) {
      await client.query(`select fn_iu_gate_close('iu_core.route_worker_enabled', 'Ada', 'a drill')`);
    }
    expect((await changes()).slice(1)).toMatchObject([
      {
        control: 'config',
        name: 'iu_core.route_worker_enabled',
        was: { value: 'true' },
        became: { value: 'false' },
        actor: 'Ada',
        reason: 'a drill',
      },
    ]);
  });

  test('an operator who changes a gate is recorded with the login, whatever role was set', async () => {
    await client.query('set role iu_core_operator');
    await client.query(`update dot_config set value = 'false' where key = 'iu_core.outbound_enabled'`);
    await client.query('reset role');
    expect(await changes()).toMatchObject([
      { name: 'iu_core.outbound_enabled', login: await ask(client, 'select session_user as answer') },
    ]);
  });

  test('an update that changes nothing records nothing', async () => {
    await client.query('update dot_config set value = value');
    await client.query('update iu_outbound_route set enabled = enabled, updated_at = now()');
    expect(await changes()).toEqual([]);
  });

  test('a change that is rolled back leaves none', async () => {
    await client.query('begin');
    await client.query(ROUTE);
    expect(await changes()).toHaveLength(1);
    await client.query('rollback');
    expect(await changes()).toEqual([]);
  });

  test('a replica’s session records it all the same', async () => {
    await client.query('set session_replication_role = replica');
    await client.query(`update dot_config set value = 'false' where key = 'iu_core.outbound_enabled'`);
    await client.query(ROUTE);
    await client.query('reset session_replication_role');
    expect((await changes()).map(({ name }) => name)).toEqual(['iu_core.outbound_enabled', 'r']);
  });

  test('the record refuses UPDATE, DELETE and TRUNCATE, a replica’s and the owner’s too', async () => {
    for (const as of ['set local session_replication_role = replica', 'set local role iu_core_owner', '']) {
      for (const statement of [
        `update iu_control_change set actor = 'nobody'`,
        'delete from iu_control_change',
        'truncate iu_control_change',
      ]) {
        await client.query('begin');
        await client.query(as);
        expect(await sqlstateOf(client.query(statement)), `${as}: ${statement}`).toBe('SL004');
        await client.query('rollback');
      }
    }
  });

  test('operator and auditor may read it, and nobody but the owner may write into it', async () => {
    const forged = `insert into iu_control_change (control, name, became) values ('route', 'x', '{}')`;
    for (const [role, read] of [
      ['iu_core_operator', 'none'],
      ['iu_core_auditor', 'none'],
      ['iu_core_worker', '42501'],
      ['iu_core_emitter', '42501'],
    ]) {
      await client.query(`set role ${role}`);
      expect(await sqlstateOf(client.query('select from iu_control_change')), role).toBe(read);
      expect(await sqlstateOf(client.query(forged)), role).toBe('42501');
      await client.query('reset role');
    }
  });

  test('without its trigger a change would be silent', async () => {
    await client.query('alter table dot_config disable trigger trg_iu_note_config_change');
    await client.query(`update dot_config set value = 'false' where key = 'iu_core.outbound_enabled'`);
    expect(await changes()).toEqual([]);
  });
});
