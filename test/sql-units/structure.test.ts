import type pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { createDatabase } from '../support/create-database.ts';
import { BASE_TEMPLATE, sqlstateOf } from './base-files.ts';

describe.each([15, 18] as const)('structure on PostgreSQL %i', (major) => {
  let client: pg.Client;
  const unit: Record<string, string> = {};
  beforeAll(async () => {
    const database = await createDatabase({ major, template: BASE_TEMPLATE });
    client = await database.connect();
    for (const code of ['a', 'b', 'c', 'd', 'e']) {
      const { rows } = await client.query('select fn_iu_create_unit($1, $1, $1, $2) as id', [code, 'ada']);
      unit[code] = rows[0].id;
    }
    await place('a', null);
    await place('b', 'a');
    await place('c', 'b');
    await place('d', null);
  });

  const place = (code: string, parent: string | null) =>
    client.query('insert into iu_tree_path (unit_id, parent_unit_id, label) values ($1, $2, $3)', [
      unit[code],
      parent === null ? null : unit[parent],
      code,
    ]);
  const move = (code: string, parent: string | null) =>
    client.query('update iu_tree_path set parent_unit_id = $2 where unit_id = $1', [
      unit[code],
      parent === null ? null : unit[parent],
    ]);
  const tree = async () => {
    const { rows } = await client.query(
      `select path || ' ' || depth as line from iu_tree_path order by path`,
    );
    return rows.map(({ line }) => line);
  };

  test('path and depth follow the parents, and a move carries everything below along', async () => {
    expect(await tree()).toEqual(['a 0', 'a>b 1', 'a>b>c 2', 'd 0']);
    await move('b', 'd');
    expect(await tree()).toEqual(['a 0', 'd 0', 'd>b 1', 'd>b>c 2']);
    await move('b', 'a');
    expect(await tree()).toEqual(['a 0', 'a>b 1', 'a>b>c 2', 'd 0']);
  });

  test('a path that is written by hand is derived again', async () => {
    await client.query(`update iu_tree_path set path = 'elsewhere', depth = 7 where unit_id = $1`, [unit.c]);
    expect(await tree()).toEqual(['a 0', 'a>b 1', 'a>b>c 2', 'd 0']);
  });

  test('a unit is not nested in itself or in what is below it, nor in a unit without a place', async () => {
    expect(await sqlstateOf(move('a', 'a'))).toBe('23514');
    expect(await sqlstateOf(move('a', 'c'))).toBe('23514');
    expect(await sqlstateOf(move('a', 'e'))).toBe('23503');
    expect(
      await sqlstateOf(client.query(`update iu_tree_path set label = 'x>y' where unit_id = $1`, [unit.d])),
    ).toBe('23514');
    expect(await tree()).toEqual(['a 0', 'a>b 1', 'a>b>c 2', 'd 0']);
  });

  test('a relation has a known kind, two units, and is said once', async () => {
    const relate = (from: string, to: string, kind: string) =>
      client.query(
        'insert into iu_relation (from_unit_id, to_unit_id, relation_kind, created_by) values ($1, $2, $3, $4)',
        [unit[from], unit[to], kind, 'ada'],
      );
    await relate('a', 'b', 'refers_to');
    expect(await sqlstateOf(relate('a', 'b', 'refers_to'))).toBe('23505');
    expect(await sqlstateOf(relate('a', 'a', 'refers_to'))).toBe('23514');
    expect(await sqlstateOf(relate('a', 'b', 'likes'))).toBe('23503');
  });

  describe('a structure operation', () => {
    const plan = async (kind = 'reparent') => {
      const { rows } = await client.query(
        `insert into iu_structure_operation (operation_kind, unit_id, plan_payload, planned_by)
         values ($1, $2, '{"to": "d"}', 'ada') returning id`,
        [kind, unit.b],
      );
      return rows[0].id as string;
    };
    const enact = (id: string) =>
      client.query(
        `update iu_structure_operation
            set status = 'enacted', applied_by = 'ada', applied_at = clock_timestamp(), apply_payload = '{}'
          where id = $1`,
        [id],
      );
    const rollBack = (id: string) =>
      client.query(
        `update iu_structure_operation
            set status = 'rolled_back', rolled_back_by = 'ada', rolled_back_at = clock_timestamp() where id = $1`,
        [id],
      );
    const gate = (value: string | null) =>
      client.query(`update dot_config set value = $1 where key = 'iu_core.structure_ops_enabled'`, [value]);

    test.each(['reparent', 'deprecate_piece', 'split', 'merge', 'replace'])(
      'of kind %s may be planned',
      async (kind) => {
        await plan(kind);
      },
    );

    test('of an unknown kind, or begun otherwise than planned, is refused', async () => {
      expect(await sqlstateOf(plan('shred'))).toBe('23503');
      const begun = client.query(
        `insert into iu_structure_operation
           (operation_kind, unit_id, plan_payload, planned_by, status, applied_by, applied_at)
         values ('split', $1, '{}', 'ada', 'enacted', 'ada', now())`,
        [unit.b],
      );
      expect(await sqlstateOf(begun)).toBe('55000');
    });

    test.each([['false'], ['TRUE'], [' true'], [null]])(
      'stays planned while its gate is %j',
      async (value) => {
        const id = await plan();
        await gate(value);
        expect(await sqlstateOf(enact(id))).toBe('55000');
        const { rows } = await client.query('select status from iu_structure_operation where id = $1', [id]);
        expect(rows).toEqual([{ status: 'planned' }]);
      },
    );

    test('is enacted through the open gate, and rolled back through a closed one', async () => {
      const id = await plan();
      expect(await sqlstateOf(rollBack(id))).toBe('55000');
      await gate('true');
      await enact(id);
      await gate('false');
      await rollBack(id);
      expect(await sqlstateOf(enact(id))).toBe('SL004');
    });

    test('keeps what was recorded', async () => {
      const id = await plan();
      const change = (sql: string) =>
        sqlstateOf(client.query(`update iu_structure_operation set ${sql} where id = $1`, [id]));
      expect(await change(`plan_payload = '{}'`)).toBe('SL004');
      expect(await change(`planned_by = 'eve'`)).toBe('SL004');
      await gate('true');
      await enact(id);
      await gate('false');
      expect(await change(`apply_payload = '{"other": 1}'`)).toBe('SL004');
      await client.query(
        `update iu_structure_operation set verified_by = 'bea', verified_at = clock_timestamp() where id = $1`,
        [id],
      );
      expect(await sqlstateOf(client.query('delete from iu_structure_operation'))).toBe('SL004');
      expect(await sqlstateOf(client.query('truncate iu_structure_operation'))).toBe('SL004');
    });
  });

  describe('a link to a SQL object', () => {
    const link = (code: string, kind: string, identity: string) =>
      client.query('select fn_iu_link_sql_object($1, $2, $3, $4) as id', [code, kind, identity, 'ada']);

    test.each([
      ['table', 'public.unit_version'],
      ['view', 'public.v_iu_sql_link_status'],
      ['function', 'public.fn_iu_gate_open(text)'],
    ])('names a %s that exists, once', async (kind, identity) => {
      const [first, again] = [await link('a', kind, identity), await link('a', kind, identity)];
      expect(again.rows).toEqual(first.rows);
    });

    test.each([
      ['table', 'public.nobody'],
      ['view', 'public.unit_version'],
      ['procedure', 'public.fn_iu_gate_open(text)'],
      ['function', 'public.fn_iu_gate_open'],
      ['function', 'not ( a signature'],
      ['table', 'a.b.c.d.e'],
      ['secret', 'public.unit_version'],
    ])('refuses the %s %s', async (kind, identity) => {
      expect(await sqlstateOf(link('a', kind, identity))).toBe('42704');
    });

    test('refuses an address without a unit', async () => {
      expect(await sqlstateOf(link('nobody', 'table', 'public.unit_version'))).toBe('P0002');
    });

    test('shows when its object is gone', async () => {
      await client.query('create table public.short_lived (n int)');
      await link('b', 'table', 'public.short_lived');
      const status = async () => {
        const { rows } = await client.query(
          `select object_exists from v_iu_sql_link_status where object_identity = 'public.short_lived'`,
        );
        return rows[0]?.object_exists;
      };
      expect(await status()).toBe(true);
      await client.query('drop table public.short_lived');
      expect(await status()).toBe(false);
      await client.query('begin; set local role iu_core_auditor');
      expect(await status()).toBe(false);
      await client.query('rollback');
    });
  });
});
