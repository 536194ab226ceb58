import { join } from 'node:path';
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { buildPlan } from '../../planning/build-plan.ts';
import { installEngine } from '../../target/install-engine.ts';
import { runScript } from '../../target/run-script.ts';
import { createDatabase, type TestDatabase } from '../support/create-database.ts';
import {
  BASE_TEMPLATE,
  CHANGES,
  change,
  check,
  failing,
  installBase,
  MACRO,
  managedText,
  STEPS,
  sqlstateOf,
} from './base-files.ts';

const GATES = 'checks/mandatory-gates.sql';
const VERIFICATION = 'checks/verification.sql';
const ALL_B = Array.from({ length: 12 }, (_, index) => `B${index + 1}`);

test('the manifest backs up and is approved before it changes anything, and verifies at the end', () => {
  expect(STEPS.map(({ kind }) => kind).filter((kind, index, kinds) => kind !== kinds[index - 1])).toEqual([
    'check',
    'backup',
    'approve',
    'migrate',
    'verify',
  ]);
});

test('the manifest plans: every file is there, parses, and takes no forbidden action', async () => {
  const built = await buildPlan({ manifestPath: join(MACRO, 'macro.yaml'), target: 'any', schema: 'public' });
  expect(built.plan).toMatchObject({ macro: 'iu-core-base', lifts: [], next: 'event-worker' });
  expect(built.plan.steps.map(({ id }) => id)).toEqual(STEPS.map(({ id }) => id));
});

describe.each([15, 18] as const)('macro iu-core-base on PostgreSQL %i', (major) => {
  const withBase = async (): Promise<{ database: TestDatabase; client: pg.Client }> => {
    const database = await createDatabase({ major, template: BASE_TEMPLATE });
    return { database, client: await database.connect() };
  };

  test.each(['public', 'Odd schema'])(
    'installs step by step into schema %s, each step holding after and not before, and takes all of it back',
    async (schema) => {
      const database = await createDatabase({ major });
      const client = await database.connect();
      await client.query(
        `create schema if not exists "${schema}"; grant usage on schema "${schema}" to public`,
      );
      await client.query(
        `create table "${schema}".theirs (n int); comment on table "${schema}".theirs is 'kept'`,
      );
      await installEngine(client);
      const fingerprint = async () => {
        const { rows } = await client.query('select sluice.fn_database_fingerprint() as fingerprint');
        return rows[0].fingerprint;
      };

      expect(await failing(client, GATES, schema)).toEqual([]);
      const before = [await fingerprint()];
      for (const step of CHANGES) {
        expect(await failing(client, step.holds, schema), step.id).not.toEqual([]);
        await change(client, step.do, schema);
        expect(await failing(client, step.holds, schema), step.id).toEqual([]);
        before.push(await fingerprint());
      }
      expect((await check(client, VERIFICATION, schema)).map(({ checkId }) => checkId.split(' ')[0])).toEqual(
        ALL_B,
      );
      expect(await failing(client, VERIFICATION, schema)).toEqual([]);
      expect(await failing(client, GATES, schema)).toEqual([]);

      for (const step of [...CHANGES].reverse()) {
        expect(await fingerprint(), `before the undo of ${step.id}`).toBe(before.pop());
        await change(client, step.undo, schema);
      }
      expect(await fingerprint()).toBe(before.pop());
      await database.drop();
    },
  );

  test('is installed, used and taken back by a user who is no superuser', async () => {
    const database = await createDatabase({ major });
    const admin = await database.connect();
    const role = `installer_${process.pid}_${major}`;
    await admin.query(`create role ${role} login createrole password 'test'`);
    await admin.query(`alter database ${database.name} owner to ${role}`);
    if (major === 18)
      await admin.query(`grant iu_core_owner to ${role} with admin option`).catch(() => undefined);
    const client = await database.connect({ user: role, password: 'test' });
    expect(await failing(client, GATES)).toEqual([]);
    await installBase(client);
    for (const step of CHANGES) expect(await failing(client, step.holds), step.id).toEqual([]);
    expect(await failing(client, VERIFICATION)).toEqual([]);
    for (const step of CHANGES.toReversed()) await change(client, step.undo);
    await client.end();
    await admin.query(`reassign owned by ${role} to current_user; drop owned by ${role}`);
    await admin.query(`drop role ${role}`);
    await database.drop();
  });

  test('names in its holds checks every table, view, function and trigger that a step makes', async () => {
    const database = await createDatabase({ major });
    const client = await database.connect();
    const objects = async () => {
      const { rows } = await client.query(
        `select 'relation ' || relname as object from pg_class
          where relnamespace = 'public'::regnamespace and relkind in ('r', 'v')
         union all
         select 'function ' || oid::regprocedure from pg_proc where pronamespace = 'public'::regnamespace
         union all
         select 'trigger ' || tgname || ' on ' || tgrelid::regclass from pg_trigger where not tgisinternal`,
      );
      return rows.map(({ object }) => String(object));
    };
    const [roles, ...migrations] = CHANGES;
    if (roles !== undefined) await change(client, roles.do);
    for (const step of migrations) {
      const wanted = (await check(client, step.holds))[0]?.detail.replace(/^[^:]*: /, '') ?? '';
      const before = new Set(await objects());
      await change(client, step.do);
      const made = (await objects()).filter((object) => !before.has(object));
      expect(made.length, step.id).toBeGreaterThan(0);
      for (const object of made) expect(`${wanted},`, step.id).toContain(`${object},`);
    }
    await database.drop();
  });

  describe('the mandatory gates say no', () => {
    test.each([
      ['G2', 'set default_transaction_read_only = on'],
      ['G7', 'create table iu_relation (n int)'],
      ['G7', 'create view information_unit as select 1 as n'],
      ['G7', `create type dot_config as enum ('a')`],
      ['G7', `create function fn_iu_gate_open(text) returns boolean language sql as 'select true'`],
      ['G9', 'set session_replication_role = replica'],
    ])('%s after: %s', async (gate, sql) => {
      const database = await createDatabase({ major });
      const client = await database.connect();
      expect(await failing(client, GATES)).toEqual([]);
      await client.query(sql);
      expect(await failing(client, GATES)).toEqual([gate]);
      await database.drop();
    });

    test('G3 in a database that is not UTF8', async () => {
      const database = await createDatabase({ major });
      const admin = await database.connect();
      const name = `${database.name}_latin`;
      await admin.query(
        `create database ${name} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'`,
      );
      const latin = await database.connect({ connectionString: database.url.replace(database.name, name) });
      expect(await failing(latin, GATES)).toEqual(['G3']);
      await latin.end();
      await admin.query(`drop database ${name} with (force)`);
      await database.drop();
    });

    test('G4 in a schema that does not exist, or that the user may not use', async () => {
      const { database, client } = await withBase();
      expect(await failing(client, GATES, 'nowhere')).toContain('G4');
      await client.query('create role nobody_special');
      await client.query('set role nobody_special');
      expect(await failing(client, GATES)).toEqual(['G4', 'G5']);
      await client.query('reset role; drop role nobody_special');
      await database.drop();
    });

    test('G8 where a migration is missing below another', async () => {
      const { database, client } = await withBase();
      expect(await failing(client, GATES)).toEqual([]);
      await client.query('drop table iu_structure_operation cascade');
      expect(await failing(client, GATES)).toEqual(['G8']);
      await database.drop();
    });
  });

  test('the verification fails on exactly the check that a fault belongs to', async () => {
    const { database, client } = await withBase();
    await client.query(`
      select fn_iu_create_unit('a.md#a', 'A', 'one', 'ada');
      select fn_iu_add_version('a.md#a', 'two', 'ada')`);
    expect(await failing(client, VERIFICATION)).toEqual([]);
    const unit = `(select id from information_unit limit 1)`;
    const faults: readonly (readonly [string[], string])[] = [
      [['B1'], 'alter table iu_relation rename to relation_elsewhere'],
      [['B2'], 'alter table iu_relation owner to postgres'],
      [['B3'], 'alter function fn_iu_gate_open(text) reset search_path'],
      [['B3'], 'alter function fn_iu_gate_open(text) set search_path = public'],
      [['B4'], 'grant execute on function fn_iu_add_version(text, text, text, jsonb) to public'],
      [['B5'], 'grant select on unit_version to public'],
      [['B5'], 'grant update on information_unit to iu_core_operator'],
      [['B5'], 'grant insert on event_outbox to iu_core_emitter'],
      [['B6'], 'alter table unit_version disable trigger trg_iu_out_version'],
      [['B6'], 'alter table unit_version enable trigger trg_iu_version_append_only'],
      [['B7'], `update dot_config set value = 'true' where key = 'iu_core.structure_ops_enabled'`],
      [['B7'], `delete from dot_config where key = 'iu_core.outbound_enabled'`],
      [['B8'], 'alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk'],
      [['B9'], `comment on table unit_version is 'A table.'`],
      [['B9'], 'comment on function fn_iu_add_version(text, text, text, jsonb) is null'],
      [['B10'], 'alter table unit_version add constraint later check (version_seq < 9) not valid'],
      [['B11'], `update information_unit set head_version_seq = 7`],
      [
        ['B12'],
        `alter table unit_version disable trigger trg_iu_out_version;
         insert into unit_version (unit_id, body, created_by) values (${unit}, 'three', 'ada');
         alter table unit_version enable always trigger trg_iu_out_version`,
      ],
    ];
    for (const [expected, fault] of faults) {
      await client.query('begin');
      await client.query(`set local search_path = public, pg_temp; ${fault}`);
      const { checks } = await runScript(client, VERIFICATION, managedText(VERIFICATION));
      await client.query('rollback');
      const failed = checks
        .filter(({ verdict }) => verdict !== 'pass')
        .map(({ checkId }) => checkId.split(' ')[0]);
      expect(failed, fault).toEqual(expected);
    }
    await database.drop();
  });

  const unit = `insert into information_unit (unit_code, title, created_by) values ('a', 'A', 'ada')`;
  const history: readonly (readonly [string, string, string])[] = [
    ['install-007', 'a link', `${unit}; select fn_iu_link_sql_object('a', 'table', 'dot_config', 'ada')`],
    [
      'install-006',
      'an operation',
      `${unit}; insert into iu_structure_operation (operation_kind, unit_id, plan_payload, planned_by)
                select 'split', id, '{}', 'ada' from information_unit`,
    ],
    [
      'install-006',
      'an added kind',
      `insert into iu_structure_operation_kind values ('copy', 'copies a unit')`,
    ],
    [
      'install-006',
      'an open gate',
      `update dot_config set value = 'true' where key = 'iu_core.structure_ops_enabled'`,
    ],
    [
      'install-005',
      'a place',
      `${unit}; insert into iu_tree_path (unit_id, label) select id, 'a' from information_unit`,
    ],
    [
      'install-005',
      'a relation',
      `${unit}; ${unit.replace(`'a'`, `'b'`)};
       insert into iu_relation (from_unit_id, to_unit_id, relation_kind, created_by)
       select a.id, b.id, 'refers_to', 'ada' from information_unit a, information_unit b where a.unit_code < b.unit_code`,
    ],
    [
      'install-005',
      'an added kind',
      `insert into iu_relation_kind values ('likes', 'the first likes the second')`,
    ],
    ['install-004', 'a unit', unit],
  ];
  test.each(history)(
    'the undo of %s refuses while there is %s, and changes nothing',
    async (id, _what, sql) => {
      const { database, client } = await withBase();
      await client.query(sql);
      for (const step of CHANGES.toReversed()) {
        if (step.id === id) {
          expect(await sqlstateOf(change(client, step.undo))).toBe('SL001');
          expect(await failing(client, step.holds)).toEqual([]);
          break;
        }
        await change(client, step.undo);
      }
      await database.drop();
    },
  );
});
