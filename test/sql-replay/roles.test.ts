import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildReplayApp, bury, callingRoute, cure } from './support/replay-app.ts';
import { runOf } from './support/replays.ts';

const ROLES = ['iu_core_worker', 'iu_core_operator', 'iu_core_auditor', 'iu_core_emitter'] as const;
const HASH = 'f'.repeat(64);
const ID = '0195f1a0-0000-7000-8000-000000000001';

/** Each call, and who may make it. */
const CALLS: readonly (readonly [call: string, may: string])[] = [
  [`fn_iu_dead_letter_change(array['${ID}'::uuid], 'parked', 'me', 'x')`, 'operator'],
  [`fn_iu_replay_abandon('${HASH}', 'r', 'x')`, 'worker operator'],
  [`fn_iu_replay_approve('${HASH}', 'me', 'x')`, 'operator'],
  [`fn_iu_replay_close('${HASH}', 'r', 'failed', 'x')`, 'worker operator'],
  [`fn_iu_replay_fail('${HASH}', 'r', 1, 'XX000', 'x')`, 'worker operator'],
  [`fn_iu_replay_failure('${ID}')`, 'worker operator'],
  [`fn_iu_replay_leave_out('${HASH}', '{}', 'me', 'x')`, 'worker operator'],
  [`fn_iu_replay_next('${HASH}', 'r', 'end', 1)`, 'worker operator'],
  [`fn_iu_replay_open('${HASH}', '{}', 'me', 'x')`, 'worker operator'],
  [`fn_iu_replay_plan('{}', '{}', 'me', 'x')`, 'worker operator'],
  [`fn_iu_replay_plan_by_policy('x', 'me', 'x')`, 'worker operator'],
  [`fn_iu_replay_policies()`, 'worker operator auditor'],
  [`fn_iu_replay_policy_remove('x', 'me', 'x')`, 'operator'],
  [`fn_iu_replay_policy_set('x', '{}', '{}', 0, 1, 1, '', 'me', 'x')`, 'operator'],
  [`fn_iu_replay_policy_switch('x', true, 'me', 'x')`, 'operator'],
  [`fn_iu_replay_read('${HASH}')`, 'worker operator auditor'],
  [`fn_iu_replay_report('${HASH}')`, 'worker operator auditor'],
  [`fn_iu_replay_samples('${HASH}', 1)`, 'worker operator'],
  [`fn_iu_replay_steer('${HASH}', 'r', 'hold', null, 'me', 'x')`, 'worker operator'],
  [`fn_iu_replay_step('${HASH}', 'r', 'end', 1, 1)`, 'worker operator'],
  [`fn_iu_replay_tried('${HASH}', '[]')`, 'worker operator'],
  [`fn_iu_replay_try('${HASH}', 'r', '{1}')`, 'worker operator'],
];

const TABLES = [
  'iu_replay_plan',
  'iu_replay_progress',
  'iu_replay_run',
  'iu_replay_letter',
  'iu_replay_story',
  'iu_replay_policy',
];

describe.each([15, 18] as const)('who may do what with replays on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await installed(major, 'replaying');
    client = await database.connect();
    await buildReplayApp(client);
    await callingRoute(client, 'one');
    await bury(client, 'one', ['a', 'b']);
    await cure(client);
  });
  afterAll(async () => {
    await database.drop();
  });
  /** The SQLSTATE of a statement as a role; nothing of it stays. */
  const as = async (role: string, sql: string) => {
    await client.query(`begin; set local role ${role}`);
    try {
      return await sqlstateOf(client.query(sql));
    } finally {
      await client.query('rollback');
    }
  };

  test.each(CALLS)('%s: %s, and nobody else', async (call, may) => {
    for (const role of ROLES) {
      const state = await as(role, `select * from ${call}`);
      // What may be called may still refuse for another reason, such as a plan that is unknown.
      if (may.split(' ').includes(role.replace('iu_core_', ''))) expect(state, role).not.toBe('42501');
      else expect(state, role).toBe('42501');
    }
  });

  test('the list holds every function of the layer that anybody of these may execute, and there are others', async () => {
    const named = (granted: boolean) =>
      ask<string[]>(
        client,
        `select array_agg(p.proname::text order by p.proname) as answer
         from pg_proc as p
         where p.pronamespace = 'public'::regnamespace
           and p.proname ~ '^fn_iu_(replay|dead_letter_change)'
           and $1 = (has_function_privilege('iu_core_worker', p.oid, 'execute')
             or has_function_privilege('iu_core_operator', p.oid, 'execute')
             or has_function_privilege('iu_core_auditor', p.oid, 'execute'))`,
        [granted],
      );
    expect(await named(true)).toEqual(CALLS.map(([call]) => call.replace(/\(.*/, '')).toSorted());
    expect(await named(false)).toContain('fn_iu_replay_record');
  });

  test.each(TABLES)(
    '%s is read by operator and auditor, and written by nobody but the owner',
    async (table) => {
      const column = table === 'iu_replay_policy' ? 'policy_code' : 'plan_hash';
      for (const role of ROLES) {
        const mayRead = role === 'iu_core_operator' || role === 'iu_core_auditor';
        expect(await as(role, `select from ${table}`), role).toBe(mayRead ? 'none' : '42501');
        for (const write of [
          `insert into ${table} (${column}) values ('x')`,
          `update ${table} set ${column} = 'x'`,
          `delete from ${table}`,
          `truncate ${table} cascade`,
        ])
          expect(await as(role, write), `${role}: ${write}`).toBe('42501');
      }
    },
  );

  test('the worker alone carries a replay from its plan to its end; approving, parking and policies are not its', async () => {
    const worker = await database.connect();
    await worker.query('set role iu_core_worker');
    const { planHash } = await ask<{ planHash: string }>(
      worker,
      `select fn_iu_replay_plan('{}', '{"canary": 0}', 'me', 'a test') as answer`,
    );
    await worker.query(`select fn_iu_replay_open($1, $2, 'me', 'a test')`, [
      planHash,
      JSON.stringify(runOf('r')),
    ]);
    const step = () => ask(worker, `select fn_iu_replay_step($1, 'r', 'end', 1, 1) as answer`, [planHash]);
    expect(await step()).toMatchObject({ status: 'working' });
    expect(await ask(worker, `select fn_iu_replay_next($1, 'r', 'end', 1) as answer`, [planHash])).toEqual([
      2,
    ]);
    expect(await ask(worker, `select fn_iu_replay_try($1, 'r', '{2}') as answer`, [planHash])).toBe(1);
    expect(await step()).toMatchObject({ status: 'executed', progress: { resolved: 2 } });
    await worker.query(`select fn_iu_replay_close($1, 'r', 'executed', null)`, [planHash]);
    expect(await ask(worker, `select fn_iu_replay_report($1) as answer`, [planHash])).toMatchObject({
      conservation: { balanced: true },
    });
    for (const call of ["approve('x', 'me', 'x')", "policy_switch('x', true, 'me', 'x')"])
      expect(await sqlstateOf(worker.query(`select fn_iu_replay_${call}`))).toBe('42501');
    expect(await sqlstateOf(worker.query('delete from iu_replay_letter'))).toBe('42501');
  });
});
