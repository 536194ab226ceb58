import type pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { installed } from './support/installed.ts';
import { ask } from './support/worker.ts';

const OURS = `n.nspname = 'public'`;

describe.each([
  [15, 'live'],
  [15, 'delivering'],
  [15, 'replaying'],
  [18, 'live'],
  [18, 'delivering'],
  [18, 'replaying'],
] as const)('every object on PostgreSQL %i, %s', (major, level) => {
  let client: pg.Client;
  const names = (sql: string) =>
    ask<string[] | null>(
      client,
      `select array_agg(name order by name) as answer from (${sql}) as found (name)`,
    );
  beforeAll(async () => {
    client = await (await installed(major, level)).connect();
  });

  const UNPINNED = `select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where ${OURS} and not coalesce(p.proconfig, '{}') @> array['search_path=public, pg_temp']
      -- Becomes part of the statement that calls it, and qualifies every name instead.
      and p.oid::regprocedure::text not like 'fn_iu_delivery_request(%'`;
  const PUBLIC = `select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where ${OURS} and has_function_privilege('public', p.oid, 'execute')`;

  test('each function has exactly the pinned search path, and PUBLIC may execute none', async () => {
    expect(
      await ask(
        client,
        `select count(*)::int as answer from pg_proc p join pg_namespace n on n.oid = p.pronamespace where ${OURS}`,
      ),
    ).toBeGreaterThan(25);
    expect(await names(UNPINNED)).toBe(null);
    expect(await names(PUBLIC)).toBe(null);
  });

  test('a function made without these is found', async () => {
    await client.query('begin');
    await client.query('create function careless() returns int language sql as $$ select 1 $$');
    expect(await names(UNPINNED)).toEqual(['careless()']);
    expect(await names(PUBLIC)).toEqual(['careless()']);
    await client.query('rollback');
  });

  test('each table, view, column and function has a comment', async () => {
    expect(
      await names(`select c.relname || coalesce('.' || a.attname, '') from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where ${OURS} and not c.relispartition and c.relkind in ('r', 'p', 'v') and col_description(c.oid, a.attnum) is null`),
    ).toBe(null);
    expect(
      await names(`select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where ${OURS} and c.relkind in ('r', 'p', 'v') and obj_description(c.oid, 'pg_class') !~ '^Layer [a-z]+[.] ' is not false`),
    ).toBe(null);
    expect(
      await names(`select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where ${OURS} and obj_description(p.oid, 'pg_proc') !~ '^Layer [a-z]+[.] ' is not false`),
    ).toBe(null);
  });

  test('everything belongs to iu_core_owner, and PUBLIC has no right on any table', async () => {
    expect(
      await names(`select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where ${OURS} and c.relkind in ('r', 'p', 'v') and (c.relowner <> 'iu_core_owner'::regrole
          or has_table_privilege('public', c.oid, 'select, insert, update, delete, truncate'))`),
    ).toBe(null);
    expect(
      await names(`select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where ${OURS} and p.proowner <> 'iu_core_owner'::regrole`),
    ).toBe(null);
  });

  test('every trigger of ours fires for every session, save the two that only stamp', async () => {
    expect(
      await names(`select t.tgname::text from pg_trigger t join pg_class c on c.oid = t.tgrelid
        join pg_namespace n on n.oid = c.relnamespace where ${OURS} and not t.tgisinternal and t.tgenabled <> 'A'`),
    ).toEqual(['trg_iu_stamp_route']);
  });

  test('no role of ours may log in or has power of its own', async () => {
    expect(
      await names(`select rolname::text from pg_roles where rolname ~ '^iu_core_'
        and (rolcanlogin or rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)`),
    ).toBe(null);
    expect(await names(`select rolname::text from pg_roles where rolname ~ '^iu_core_'`)).toEqual([
      'iu_core_auditor',
      'iu_core_emitter',
      'iu_core_operator',
      'iu_core_owner',
      'iu_core_worker',
    ]);
  });
});
