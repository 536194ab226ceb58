import type pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, sqlstateOf } from '../sql-worker/support/worker.ts';

describe.each([15, 18] as const)('gates on PostgreSQL %i', (major) => {
  let client: pg.Client;
  const isOpen = (key = 'iu_core.outbound_enabled') =>
    ask<boolean>(client, 'select fn_iu_gate_open($1) as answer', [key]);

  beforeAll(async () => {
    client = await (await installed(major, 'outbox')).connect();
  });

  test('the master gate is open after the base install', async () => {
    expect(await isOpen()).toBe(true);
  });

  test('a gate without a row is closed, and so is one that nobody names', async () => {
    expect(await isOpen('iu_core.no_such_gate')).toBe(false);
    expect(await ask(client, 'select fn_iu_gate_open(null) as answer')).toBe(false);
  });

  test.each([[null], ['TRUE'], ['true '], [' true'], ['t'], ['on'], ['1'], ['yes'], [''], ['false']])(
    'a gate whose value is %o is closed',
    async (value) => {
      await client.query('begin');
      await client.query(`update dot_config set value = $1 where key = 'iu_core.outbound_enabled'`, [value]);
      expect(await isOpen()).toBe(false);
      await client.query('rollback');
    },
  );

  test('a gate that the caller may not read is closed', async () => {
    await client.query('begin');
    await client.query('grant execute on function fn_iu_gate_open(text) to iu_core_emitter');
    await client.query('set local role iu_core_emitter');
    expect(await isOpen()).toBe(false);
    await client.query('set local role iu_core_operator');
    expect(await isOpen()).toBe(true);
    await client.query('rollback');
  });

  test('a temporary table of the same name opens nothing', async () => {
    await client.query('begin');
    await client.query('create temp table dot_config (key text, value text)');
    await client.query(`insert into pg_temp.dot_config values ('iu_core.no_such_gate', 'true')`);
    await client.query('set local search_path = pg_temp, public');
    expect(await ask(client, `select value as answer from dot_config`)).toBe('true');
    expect(await isOpen('iu_core.no_such_gate')).toBe(false);
    await client.query('rollback');
  });

  test('the row says when and by which login it was changed, whatever the change claims', async () => {
    await client.query('begin');
    await client.query(
      `update dot_config set value = 'false', updated_by = 'somebody else', updated_at = 'epoch'
       where key = 'iu_core.outbound_enabled'`,
    );
    const { rows } = await client.query(
      `select updated_by, updated_at > now() - interval '1 minute' as is_recent
       from dot_config where key = 'iu_core.outbound_enabled'`,
    );
    expect(rows).toEqual([{ updated_by: 'postgres', is_recent: true }]);
    await client.query('rollback');
  });

  test.each([
    ['nothing', null],
    ['text', 'many'],
    ['zero', '0'],
    ['a negative number', '-1'],
    ['a fraction', '1.5'],
  ])('a limit that holds %s is refused, and one that holds a number is read', async (_, value) => {
    const read = `select fn_iu_config_positive_int('iu_core.event_payload_max_bytes') as answer`;
    expect(await ask(client, read)).toBe(262144);
    await client.query('begin');
    await client.query(`update dot_config set value = $1 where key = 'iu_core.event_payload_max_bytes'`, [
      value,
    ]);
    expect(await sqlstateOf(client.query(read))).toBe('F0000');
    await client.query('rollback');
  });
});
