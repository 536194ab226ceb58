import type pg from 'pg';
import { expect } from 'vitest';
import { readChecks, textOf } from '../../sql-worker/support/run-file.ts';
import { ask } from '../../sql-worker/support/worker.ts';

/** Sets a gate, list or limit of IU Core. */
export const setting = (key: string, value: string) =>
  `update dot_config set value = '${value}' where key = 'iu_core.${key}'`;
/** A version that no event tells of, so that the books do not balance. */
export const SILENT = `select fn_iu_create_unit('a.md#b', 'B', 'one', 'me');
  alter table unit_version disable trigger trg_iu_out_version;
  select fn_iu_add_version('a.md#b', 'two', 'me');
  alter table unit_version enable always trigger trg_iu_out_version`;
/** The whole of what planned replays are made of, gone. */
export const WITHOUT_REPLAYS = `drop table iu_replay_policy, iu_replay_story, iu_replay_letter, iu_replay_run, iu_replay_progress, iu_replay_plan cascade;
  do $$ declare f regprocedure; begin
    for f in select oid::regprocedure from pg_proc where starts_with(proname, 'fn_iu_replay_') loop
      execute format('drop function if exists %s cascade', f);
    end loop;
  end $$`;

/** Checks that do not pass while the sabotage holds, which is rolled back, with their details; `:db` is the database. */
export async function refused(sql: pg.Client, path: string, sabotage: string): Promise<string[]> {
  const database = await ask<string>(sql, 'select current_database() as answer');
  await sql.query('begin; set local search_path = public, pg_temp; set local client_min_messages = warning');
  try {
    await sql.query(sabotage.replace(':db', database));
    const answered = (await sql.query(textOf(path))) as unknown as pg.QueryResult | pg.QueryResult[];
    return (Array.isArray(answered) ? answered : [answered])
      .flatMap((result) => result.rows as { check_id?: string; verdict?: string; detail?: string }[])
      .filter((row) => row.check_id !== undefined && row.verdict !== 'pass')
      .map((row) => `${row.check_id}: ${row.verdict}. ${row.detail}`);
  } finally {
    await sql.query('rollback');
  }
}

/** Every check passes, and each fails for its sabotage: `[check, what is wrong, SQL]`. */
export async function saysNo(
  sql: pg.Client,
  path: string,
  table: readonly (readonly [string, string, string])[],
): Promise<void> {
  expect((await readChecks(sql, path)).filter((row) => row.verdict !== 'pass')).toEqual([]);
  for (const [id, what, sabotage] of table)
    expect(await refused(sql, path, sabotage), `${id}: ${what}`).toContainEqual(
      expect.stringMatching(new RegExp(`^${id} [^:]+: fail`)),
    );
}
