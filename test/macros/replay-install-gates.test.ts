import type pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { installEngine } from '../../target/install-engine.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { applyFile, readAfter, readChecks, tryProbe, verdicts } from '../sql-worker/support/run-file.ts';
import { ask, emit, runWorker, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { received } from './delivery-support/delivering.ts';
import { deadLetters, planReplay } from './replay-support/replaying.ts';
import { refused, SILENT, saysNo, setting, WITHOUT_REPLAYS } from './replay-support/says-no.ts';

const INSTALL_GATES = 'macros/dead-letter-replay/checks/mandatory-gates.sql';
const HOLDS = 'macros/dead-letter-replay/checks/012-holds.sql';
const VERIFICATION = 'sql/iu-core/runtime/195_replay_verification.sql';
const PROBE = 'sql/iu-core/sandbox/070_dead_letter_replay_probe.sql';
const AFTER = 'sql/iu-core/sandbox/070_post_rollback.sql';
const INSTALLED_UNDO = 'sql/iu-core/rollback/190_replay_installed.sql';

const INSTALL_SAYS_NO: readonly (readonly [string, string, string])[] = [
  ['J1', 'the change of a letter is missing', 'drop function fn_iu_dead_letter_change'],
  [
    'J1',
    'the store is of an older release',
    'drop trigger trg_iu_dead_letter_guard on iu_route_dead_letter; alter table iu_route_dead_letter drop column first_failure cascade',
  ],
  ['J2', 'the queue is open to PUBLIC', 'grant execute on function fn_iu_route_delivery_claim to public'],
  ['J2', 'a path is not pinned', 'alter function fn_iu_route_delivery_settle reset search_path'],
  [
    'J2',
    'settling is of an older release',
    `create or replace function fn_iu_route_delivery_settle(p_route_code text, p_lease_token uuid, p_outcomes jsonb)
     returns jsonb language sql set search_path = public, pg_temp as $$ select '{}'::jsonb $$`,
  ],
  ['J3', 'no guard stands', 'drop trigger trg_iu_outbound_route_safe_guard on iu_outbound_route'],
  [
    'J3',
    'the seam answers',
    `create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb) returns jsonb
     language sql set search_path = public, pg_temp as $$ select '{}'::jsonb $$`,
  ],
  ['J4', 'a function is gone', 'drop function fn_iu_replay_report'],
  ['J4', 'a table is gone', 'drop table iu_replay_policy cascade'],
  ['J4', 'a table belongs to somebody else', 'alter table iu_replay_story owner to current_user'],
  ['J4', 'a foreign table holds a name', `${WITHOUT_REPLAYS}; create table iu_replay_plan (is_mine boolean)`],
  ['J5', 'the cursor is of another cluster', 'update iu_route_worker_cursor set system_identifier = 1'],
  ['J6', 'the books do not balance', SILENT],
  ['J7', 'temporary objects are closed to the owner', 'revoke temporary on database :db from public'],
];

const VERIFICATION_SAYS_NO: readonly (readonly [string, string, string])[] = [
  ['N1', 'a function is open to PUBLIC', 'grant execute on function fn_iu_replay_step to public'],
  ['N1', 'a path is not pinned', 'alter function fn_iu_replay_try reset search_path'],
  ['N1', 'one runs with the rights of its caller', 'alter function fn_iu_replay_open security invoker'],
  [
    'N1',
    'operators may not call it',
    'revoke execute on function fn_iu_replay_approve from iu_core_operator',
  ],
  ['N1', 'a part of one is open to PUBLIC', 'grant execute on function fn_iu_replay_collect to public'],
  ['N1', 'a function is gone', 'drop function fn_iu_replay_plan_by_policy'],
  ['N2', 'others may write', 'grant update on iu_replay_progress to iu_core_operator'],
  ['N2', 'PUBLIC may read', 'grant select on iu_replay_letter to public'],
  ['N2', 'its owner is another', 'alter table iu_replay_policy owner to current_user'],
  [
    'N2',
    'history may be deleted',
    'alter table iu_replay_plan disable trigger trg_iu_replay_plan_append_only',
  ],
  ['N3', 'the limit of approval is no number', setting('replay_approval_above', 'many')],
  ['N3', 'the validity is none', `delete from dot_config where key = 'iu_core.replay_plan_hours'`],
  [
    'N5',
    'a policy is switched on',
    `insert into iu_replay_policy (policy_code, is_enabled, filter, policy, changed_by, change_reason)
     values ('p', true, '{}', '{}', 'me', 'a test')`,
  ],
  [
    'N6',
    'the seam answers',
    `create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb) returns jsonb
     language sql set search_path = public, pg_temp as $$ select '{}'::jsonb $$`,
  ],
  ['N7', 'the books do not balance', SILENT],
];

describe.each([15, 18] as const)('on PostgreSQL %i', { timeout: 60_000 }, (major) => {
  let database: TestDatabase;
  afterEach(async () => {
    await database.drop();
  });
  const opened = async (level: Parameters<typeof installed>[1]): Promise<pg.Client> => {
    database = await installed(major, level);
    const sql = await database.connect();
    await installEngine(sql);
    return sql;
  };

  test('each mandatory gate can say no, and none does before or after the installation', async () => {
    const before = await opened('delivering');
    expect((await readChecks(before, INSTALL_GATES)).filter((row) => row.verdict !== 'pass')).toEqual([]);
    await database.drop();
    const sql = await opened('replaying');
    await emit(sql);
    await runWorker(sql);
    await saysNo(sql, INSTALL_GATES, INSTALL_SAYS_NO);
  });

  test('open dead letters and live routes are no reason against it', async () => {
    const sql = await opened('replaying');
    await deadLetters(sql, [{}, {}]);
    expect(verdicts(await readChecks(sql, INSTALL_GATES)).filter((line) => !line.endsWith('pass'))).toEqual(
      [],
    );
    expect(verdicts(await readChecks(sql, VERIFICATION)).filter((line) => !line.endsWith('pass'))).toEqual(
      [],
    );
  });

  test('without a worker J1 and J2 fail, and what would ask it is not run', async () => {
    const sql = await opened('outbox');
    expect(verdicts(await readChecks(sql, INSTALL_GATES))).toEqual([
      'J1 fail',
      'J2 fail',
      'J3 not_run',
      'J4 pass',
      'J5 not_run',
      'J6 not_run',
      'J7 pass',
    ]);
  });

  test('the installation holds as a whole or not at all', async () => {
    const sql = await opened('replaying');
    expect((await readChecks(sql, HOLDS)).map((row) => row.verdict)).toEqual(['pass']);
    for (const sabotage of [
      'drop function fn_iu_replay_next',
      'drop table iu_replay_story',
      `delete from dot_config where key = 'iu_core.replay_approval_above'`,
      'alter function fn_iu_replay_step owner to current_user',
    ])
      expect(await refused(sql, HOLDS, sabotage), sabotage).toHaveLength(1);
  });

  test('each check of the verification can say no', async () => {
    const sql = await opened('replaying');
    await saysNo(sql, VERIFICATION, VERIFICATION_SAYS_NO);
    await deadLetters(sql, [{}]);
    const planHash = await planReplay(sql);
    await saysNo(sql, VERIFICATION, [
      [
        'N4',
        'a plan is being executed',
        `select fn_iu_replay_open('${planHash}', '{"workflowId": "w", "runId": "r", "temporalNamespace": "n",
           "temporalAddress": "a", "temporalClusterId": "c"}', 'me', 'a test')`,
      ],
    ]);
  });

  test('the probe leaves nothing, holds beside history, and cannot be committed', async () => {
    const sql = await opened('replaying');
    await deadLetters(sql, [{}]);
    const { xid, checks } = await tryProbe(sql, PROBE);
    expect(checks.filter((row) => row.verdict !== 'pass')).toEqual([]);
    expect(checks.map((row) => row.check_id.split(' ')[0])).toEqual([
      'Z0',
      'P7',
      ...Array.from({ length: 8 }, (_, number) => `Z${number + 1}`),
    ]);
    expect(checks.find((row) => row.check_id === 'P7 replay')?.detail).toBe(
      'dry_run=false: decision=failed, resolved=false, attempt_no=2, replays counted 1; ' +
        'dry_run=true: decision=dry_run, resolved=true, attempt_no=3; attempts 3 under 1 key',
    );
    expect((await readAfter(sql, AFTER, xid)).map((row) => row.verdict)).toEqual(['pass', 'pass', 'pass']);
    expect(await sqlstateOf(applyFile(sql, PROBE))).toBe('SL005');
    expect(await ask(sql, 'select count(*)::int as answer from iu_replay_plan')).toBe(0);
    expect(await ask(sql, `select count(*)::int as answer from iu_route_dead_letter`)).toBe(1);
    expect(await received(sql)).toBe(0);
  });

  test('what a probe would leave is found', async () => {
    const sql = await opened('replaying');
    const { xid } = await tryProbe(sql, PROBE);
    await sql.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
       values ('iu_probe.replay', 'iu', 'replay_probe', 'report', 'x', true, true)`,
    );
    expect(verdicts(await readAfter(sql, AFTER, xid))[0]).toBe('POST-ROLLBACK fail');
    const own = await ask<string>(sql, 'select pg_current_xact_id()::text as answer');
    expect(verdicts(await readAfter(sql, AFTER, own))[0]).toBe('POST-ROLLBACK fail');
  });

  test('the probe’s checks fail where replays do not do their work', async () => {
    const sql = await opened('replaying');
    const probe = async (sabotage: string) => {
      const { checks } = await tryProbe(sql, PROBE, async () => {
        await sql.query(sabotage);
      });
      return checks.filter((row) => row.verdict !== 'pass').map((row) => row.check_id.split(' ')[0]);
    };
    expect(
      await probe(
        `create or replace function fn_iu_route_dead_letter_replay(p_dead_letter_id uuid, p_actor text, p_reason text)
         returns jsonb language sql set search_path = public, pg_temp as $$ select '{"decision": "sent"}'::jsonb $$`,
      ),
    ).toContain('P7');
    expect(
      await probe(
        `create or replace function fn_iu_replay_approve(p_plan_hash text, p_actor text, p_reason text) returns jsonb
         language sql set search_path = public, pg_temp as $$ select '{"approvedBy": "a second person"}'::jsonb $$`,
      ),
    ).toEqual(['Z2']);
    expect(
      await probe(
        `create or replace function fn_iu_replay_gate(p_plan_hash text, p_place integer) returns text
         language sql set search_path = public, pg_temp as $$ select null::text $$;
         create or replace function fn_iu_delivery_open(p_route_code text) returns boolean
         language sql stable set search_path = public, pg_temp as $$ select true $$`,
      ),
    ).toContain('Z3');
    expect(await probe(SILENT)).toContain('Z8');
  });

  test('once a plan was made its undo refuses before any function is gone', async () => {
    const sql = await opened('replaying');
    await deadLetters(sql, [{}]);
    await applyFile(sql, INSTALLED_UNDO);
    await planReplay(sql);
    expect(await sqlstateOf(applyFile(sql, INSTALLED_UNDO))).toBe('SL001');
    expect((await readChecks(sql, HOLDS)).map((row) => row.verdict)).toEqual(['pass']);
  });
});
