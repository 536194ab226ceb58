import type pg from 'pg';
import { afterEach, describe, expect, test } from 'vitest';
import { installEngine } from '../../target/install-engine.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { applyFile, readChecks, verdicts } from '../sql-worker/support/run-file.ts';
import { ask, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { received } from './delivery-support/delivering.ts';
import {
  approvedBy,
  attempts,
  BROKEN,
  deadLetters,
  FAILS_FOR_BAD,
  gatesShown,
  mend,
  planReplay,
  progressOf,
  replayByHand,
  underRun,
} from './replay-support/replaying.ts';
import { refused, SILENT, saysNo, setting, WITHOUT_REPLAYS } from './replay-support/says-no.ts';

const FIX_GATES = 'macros/replay-after-fix/checks/mandatory-gates.sql';
const CANARY = 'macros/replay-after-fix/checks/canary-passed.sql';
const EXPLAINED = 'macros/replay-after-fix/checks/explained.sql';
const APPROVE = 'sql/iu-core/runtime/200_replay_approve.sql';
const UNAPPROVE = 'sql/iu-core/rollback/200_replay_approve.sql';

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

  /** With letters of a mended function planned, and a run of the macro under way. */
  const planned = async (
    payloads: readonly object[] = [{}, {}, {}],
    policy: Record<string, unknown> = {},
  ) => {
    const sql = await opened('replaying');
    const letters = await deadLetters(sql, payloads);
    await mend(sql);
    const planHash = await planReplay(sql, policy);
    return { sql, letters, planHash, runId: await underRun(sql) };
  };
  const approved = async (...given: Parameters<typeof planned>) => {
    const all = await planned(...given);
    await gatesShown(all.sql, all.runId, await readChecks(all.sql, FIX_GATES));
    await approvedBy(all.sql, all.runId, 'bo');
    await applyFile(all.sql, APPROVE);
    return all;
  };

  test('each mandatory gate can say no, and shows the plan where none does', async () => {
    const { sql, planHash } = await planned();
    const shown = await readChecks(sql, FIX_GATES);
    expect(shown.map((row) => `${row.check_id.split(' ')[0]} ${row.verdict}`)).toEqual(
      Array.from({ length: 9 }, (_, number) => `X${number + 1} pass`),
    );
    expect(shown[1]?.detail).toBe(
      `plan ${planHash}: 3 letters, 1 of them first as canary, 3 still to try; state planned; planned by cleo (mended), who cannot approve it`,
    );
    expect(shown[4]?.detail).toBe('iu_version_applied → sql_function app.receive: live');
    const tried = (fixed: number, still: number) =>
      `select fn_iu_replay_tried('${planHash}', jsonb_build_array(jsonb_build_object('route', 'iu_version_applied',
         'fingerprint', 'f', 'tried', 2, 'fixed', ${fixed}, 'stillFailing', ${still}, 'unknown', 0, 'because', 'no')))`;
    await saysNo(sql, FIX_GATES, [
      ['X2', 'several plans are open', `select fn_iu_replay_plan('{"maxLetters": 1}', '{}', 'me', 'a test')`],
      ['X2', 'the plan has ended', `update iu_replay_progress set state = 'executed'`],
      ['X2', 'there is no plan', `update iu_replay_progress set state = 'stopped'`],
      ['X4', 'a route goes elsewhere', `update iu_outbound_route set target_ref = 'app.other'`],
      ['X4', 'a route is in dry run', `update iu_outbound_route set dry_run = true`],
      ['X5', 'the delivery gate is closed', setting('delivery_enabled', 'false')],
      ['X5', 'the worker gate is closed', setting('route_worker_enabled', 'false')],
      ['X5', 'the master gate is closed', setting('outbound_enabled', 'false')],
      ['X5', 'the route is not on the list', setting('delivery_live_routes', '')],
      [
        'X6',
        'a breaker is open',
        `insert into iu_route_breaker (route_code, state, probe_at) values ('iu_version_applied', 'open', now())`,
      ],
      ['X7', 'every letter that was tried out still fails', tried(0, 2)],
      [
        'X8',
        'its letters were resolved meanwhile',
        `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'x', state_at = now()`,
      ],
      ['X9', 'the books do not balance', SILENT],
    ]);
    expect(await refused(sql, FIX_GATES, tried(1, 1))).toEqual([]);
    expect(await refused(sql, FIX_GATES, WITHOUT_REPLAYS)).toEqual([
      expect.stringMatching(/^X1 .*: fail\. .*dead-letter-replay first/),
      ...Array.from({ length: 8 }, (_, number) => expect.stringMatching(`^X${number + 2} .*: not_run`)),
    ]);
  });

  test('X2 and X4 say what to do: name one of several plans, make one, plan again', async () => {
    const { sql, planHash } = await planned();
    const second = `select fn_iu_replay_plan('{"maxLetters": 1}', '{}', 'dora', 'a test')`;
    expect(await refused(sql, FIX_GATES, second)).toContainEqual(
      expect.stringMatching(
        `^X2 one plan: fail\\. open: ${planHash.slice(0, 12)} \\(3 letters, by cleo\\).*1 letters, by dora.*--set canary`,
      ),
    );
    expect(await refused(sql, FIX_GATES, `update iu_replay_progress set state = 'executed'`)).toContainEqual(
      expect.stringMatching(/^X2 .*no plan is open; newest: [0-9a-f]{12} is executed\. Make one/),
    );
    expect(await refused(sql, FIX_GATES, `update iu_outbound_route set target_ref = 'app.other'`)).toEqual([
      expect.stringMatching(/^X4 .*route iu_version_applied now goes to app\.other/),
    ]);
  });

  test('a plan that its steps name is taken beside others, and none that the target does not have', async () => {
    const sql = await opened('replaying');
    await deadLetters(sql, [{}, {}]);
    await mend(sql);
    const planHash = await planReplay(sql);
    await planReplay(sql, {}, { maxLetters: 1 });
    const named = (canary: string, rest: string) => ({
      'canary.input.planHash': canary,
      'rest.input.planHash': rest,
    });
    const shows = async (overrides: Record<string, string>) => {
      const runId = await underRun(sql, overrides);
      const [, one] = await readChecks(sql, FIX_GATES);
      await sql.query(
        `update sluice.run set finished_at = now(), outcome = 'rolled_back' where run_id = $1`,
        [runId],
      );
      return `${one?.verdict}: ${one?.detail}`;
    };
    expect(await shows({})).toMatch(/^fail: open: /);
    expect(await shows(named(planHash, planHash))).toMatch(`pass: plan ${planHash}: 2 letters`);
    expect(await shows(named(planHash.slice(0, 12), planHash.slice(0, 12)))).toMatch(/^pass/);
    expect(await shows(named(planHash, 'f'.repeat(64)))).toMatch(/^fail: the steps name/);
    expect(await shows(named('f'.repeat(64), 'f'.repeat(64)))).toMatch(/^fail: the steps name/);
  });

  test('read again after the wait, it must be the plan that was shown', async () => {
    const { sql, planHash, runId } = await planned();
    await gatesShown(sql, runId, await readChecks(sql, FIX_GATES));
    expect((await readChecks(sql, FIX_GATES)).filter((row) => row.verdict !== 'pass')).toEqual([]);
    await sql.query(`update iu_replay_progress set state = 'executed' where plan_hash = $1`, [planHash]);
    const other = await planReplay(sql, {}, { maxLetters: 2 });
    const again = await readChecks(sql, FIX_GATES);
    expect(again.filter((row) => row.verdict !== 'pass').map((row) => row.check_id)).toEqual([
      'X3 the plan that was shown',
    ]);
    // What was approved is what was shown.
    await approvedBy(sql, runId, 'bo');
    expect(await sqlstateOf(applyFile(sql, APPROVE))).toBe('SL010');
    expect(await progressOf(sql, other)).toMatch(/approved by nobody$/);
  });

  test('the approval is recorded in the words of the one who approved, and taken back while the plan has not ended', async () => {
    const { sql, planHash, runId } = await planned();
    expect(await sqlstateOf(applyFile(sql, APPROVE))).toBe('SL008');
    await gatesShown(sql, runId, await readChecks(sql, FIX_GATES));
    expect(await sqlstateOf(applyFile(sql, APPROVE))).toBe('SL008');
    await approvedBy(sql, runId, 'cleo');
    expect(await sqlstateOf(applyFile(sql, APPROVE))).toBe('SL010');
    await applyFile(sql, UNAPPROVE);
    await approvedBy(sql, runId, 'bo');
    await applyFile(sql, APPROVE);
    expect(await progressOf(sql, planHash)).toMatch(/approved by bo$/);
    expect(
      await ask(
        sql,
        `select format('%s: %s', actor, reason) as answer from iu_replay_story where what = 'approved'`,
      ),
    ).toMatch(/^bo: looks right \(macro replay-after-fix, run \d+\)$/);
    await applyFile(sql, UNAPPROVE);
    await applyFile(sql, UNAPPROVE);
    expect(await progressOf(sql, planHash)).toMatch(/^planned: .*approved by nobody$/);
  });

  test('an approval that was there before stays, and so does one of a plan that has ended', async () => {
    const { sql, planHash, runId } = await planned();
    await sql.query(`select fn_iu_replay_approve($1, 'dora', 'beforehand')`, [planHash]);
    await gatesShown(sql, runId, await readChecks(sql, FIX_GATES));
    await approvedBy(sql, runId, 'bo');
    await applyFile(sql, APPROVE);
    await applyFile(sql, UNAPPROVE);
    expect(await progressOf(sql, planHash)).toMatch(/approved by dora$/);
    await replayByHand(sql, runId, 'rest', planHash);
    await applyFile(sql, UNAPPROVE);
    expect(await progressOf(sql, planHash)).toMatch(/^executed: resolved 3.*approved by dora$/);
  });

  test('a replay that its run still has under way is asked to stop', async () => {
    const { sql, planHash, runId } = await approved();
    const child = (step: string) =>
      `select fn_iu_replay_open('${planHash}', jsonb_build_object('workflowId', format('macro/demo/%s/${step}', run_no),
         'runId', 'r', 'temporalNamespace', 'n', 'temporalAddress', 'a', 'temporalClusterId', 'c'), 'ana', 'a test')
       from sluice.run where run_id = '${runId}'`;
    await sql.query(child('canary'));
    await applyFile(sql, UNAPPROVE);
    expect(
      await ask(sql, `select fn_iu_replay_step($1, 'r', 'canary', 10, 10) ->> 'status' as answer`, [
        planHash,
      ]),
    ).toBe('cancelled');
    expect(await progressOf(sql, planHash)).toMatch(/resolved 0.*approved by nobody$/);
    expect(await received(sql)).toBe(0);
  });

  test('each check of the canary can say no', async () => {
    const { sql, planHash, runId } = await approved();
    expect(verdicts(await readChecks(sql, CANARY))).toEqual(['Y1 fail', 'Y2 fail', 'Y3 pass']);
    expect(await replayByHand(sql, runId, 'canary', planHash)).toBe('canary_passed');
    expect(await received(sql)).toBe(1);
    await saysNo(sql, CANARY, [
      ['Y1', 'nobody approved', 'update iu_replay_progress set approved_by = null, approved_at = null'],
      ['Y1', 'its maker approved', `update iu_replay_progress set approved_by = 'cleo'`],
      ['Y2', 'the canary failed', `update iu_replay_progress set canary = 'failed', canary_failed = 1`],
      ['Y2', 'the run was abandoned', `update iu_replay_run set outcome = 'abandoned'`],
      ['Y3', 'a letter is queued', `update iu_replay_letter set state = 'queued' where place = 2`],
    ]);
  });

  test('a canary that fails stops its plan, names the letter, and leaves the rest alone', async () => {
    const { sql, planHash, runId, letters } = await approved([{}, {}, {}]);
    await mend(sql, BROKEN);
    expect(await replayByHand(sql, runId, 'canary', planHash)).toBe('stopped');
    const [, passed] = await readChecks(sql, CANARY);
    expect(passed?.verdict).toBe('fail');
    expect(passed?.detail).toMatch(
      /^the run ended as stopped: .*; canary of 1 letters: failed, failed 1; .*\(iu_version_applied [0-9a-f-]{36}: worker_process_error\)$/,
    );
    expect(letters).toContain(/[0-9a-f-]{36}/.exec(passed?.detail ?? '')?.[0]);
    expect(await attempts(sql)).toEqual(['1 failed: 3', '2 failed: 1']);
  });

  test('what is still open is listed with why, and each check of the end can say no', async () => {
    const { sql, planHash, runId } = await approved([{}, { bad: 1 }, { gone: 1 }, {}], { canary: 1 });
    await mend(sql, FAILS_FOR_BAD);
    await sql.query(
      `select fn_iu_dead_letter_change(array_agg(dead_letter_id), 'discarded', 'dora', 'no use any more')
       from iu_route_dead_letter where event #> '{payload}' ? 'gone'`,
    );
    await replayByHand(sql, runId, 'canary', planHash);
    expect(await replayByHand(sql, runId, 'rest', planHash)).toBe('executed');
    const shown = await readChecks(sql, EXPLAINED);
    expect(verdicts(shown)).toEqual(Array.from({ length: 6 }, (_, number) => `Y${number + 4} pass`));
    expect(shown[0]?.detail).toMatch(
      /is executed: resolved 2, failed 1, skipped 1 of 4 letters, in 3 tries$/,
    );
    expect(shown[2]?.detail).toMatch(
      /^1 letters are still open, 0 of them without a reason: 1 of iu_version_applied \S+ failed: worker_process_error\. [0-9a-f-]{36} \(failed after 1 tries: worker_process_error\)$/,
    );
    await saysNo(sql, EXPLAINED, [
      ['Y4', 'the failure limit stopped it', `update iu_replay_progress set state = 'stopped'`],
      ['Y5', 'a letter waits', `update iu_replay_letter set state = 'waiting' where state = 'skipped'`],
      ['Y6', 'nobody says why', `update iu_replay_letter set because = null where state = 'failed'`],
      ['Y7', 'one is only said to be resolved', `update iu_replay_letter set state = 'resolved'`],
      [
        'Y8',
        'one was sent twice',
        `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status, delivered)
         select idempotency_key, 3, event_id, route_code, worker_code, 'sent', 'sent', true
         from iu_route_attempt where status = 'sent' limit 1`,
      ],
      ['Y9', 'the books do not balance', SILENT],
    ]);
    expect(await attempts(sql)).toEqual(['1 failed: 4', '2 failed: 1', '2 sent: 2']);
  });

  test('without a run of a plan the end shows nothing', async () => {
    const { sql } = await approved();
    expect(verdicts(await readChecks(sql, EXPLAINED))).toEqual([
      'Y4 fail',
      'Y5 fail',
      'Y6 fail',
      'Y7 pass',
      'Y8 pass',
      'Y9 pass',
    ]);
  });
});
