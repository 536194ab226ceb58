import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startMacro } from '../../client/start-macro.ts';
import { macroWorkflowId } from '../../contracts/names.ts';
import { approve, change, check, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import {
  receipts,
  refusal,
  reports,
  statusOf,
  table,
  tables,
  untilExecutes,
  untilStatus,
} from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ major: 18 });
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

type Handle = Awaited<ReturnType<TestEngine['start']>>;

const succeeds = async (name: string) => {
  const status = await engine.outcome(
    await engine.start(await engine.plan([noBackup(), change(name, [table(engine, name)])])),
  );
  expect(status.outcome).toBe('succeeded');
  return status.runId ?? '';
};
const undo = async (runId: string) => engine.outcome(await engine.undo(runId));
const failure = async (handle: Handle) => {
  const error = await handle.result().catch((thrown: unknown) => thrown);
  let cause = error as Error & { type?: string };
  while (cause.cause instanceof Error) cause = cause.cause as typeof cause;
  return { type: cause.type, message: cause.message };
};
const outcomeOf = async (runId: string) =>
  (await engine.sql.query('select outcome from sluice.run where run_id = $1', [runId])).rows[0]?.outcome;

test('a run that succeeded is rolled back by its receipts, when Temporal has long forgotten it', {
  timeout: 90_000,
}, async () => {
  const { fingerprint } = (await engine.sql.query('select sluice.fn_database_fingerprint() as fingerprint'))
    .rows[0];
  const handle = await engine.start(
    await engine.plan([
      noBackup(),
      change('one', [table(engine, 't_one')]),
      change('two', [table(engine, 't_two')]),
    ]),
  );
  const { runId } = await engine.outcome(handle);
  const execution = { workflowId: handle.workflowId };
  await engine.client.workflowService.deleteWorkflowExecution({
    namespace: 'default',
    workflowExecution: execution,
  });
  await waitFor(async () => (await handle.describe().catch(() => 'gone')) === 'gone', 60_000);
  const undone = await undo(runId ?? '');
  expect(undone).toMatchObject({ outcome: 'rolled_back', cause: `rollback of run ${runId} by bo: a test` });
  expect(await tables(engine)).toEqual([]);
  const rows = await engine.sql.query(
    `select kind, outcome, undoes_run_id, fingerprint_at_end from sluice.run order by run_no desc limit 2`,
  );
  expect(rows.rows).toEqual([
    { kind: 'undo', outcome: 'rolled_back', undoes_run_id: runId, fingerprint_at_end: fingerprint },
    {
      kind: 'forward',
      outcome: 'succeeded',
      undoes_run_id: null,
      fingerprint_at_end: expect.not.stringContaining(fingerprint),
    },
  ]);
});

test('an undo is done once: the second does nothing', async () => {
  const runId = await succeeds('t_one');
  await undo(runId);
  const before = await receipts(engine, runId);
  const second = await undo(runId);
  expect(second.outcome).toBe('rolled_back');
  expect(second.steps.map((step) => step.state)).toEqual(['pending', 'pending']);
  expect(await receipts(engine, runId)).toEqual(before);
});

test('a run terminated in the middle of a step is rolled back, and its step cannot commit any more', async () => {
  const slow = {
    do: engine.script('create table t_slow (id integer); select pg_sleep(30)', 'do/slow.sql'),
    undo: engine.script('drop table t_slow', 'undo/slow.sql'),
  };
  const handle = await engine.start(
    await engine.plan([
      noBackup(),
      change('one', [table(engine, 't_one')]),
      change('slow', [slow]),
      change('two', [table(engine, 't_two')]),
    ]),
  );
  await untilExecutes(engine, 'pg_sleep(30)');
  const { runId } = await statusOf(handle);
  await handle.terminate('a test');
  const undone = await undo(runId ?? '');
  expect(undone.outcome).toBe('rolled_back');
  expect(undone.steps.map((step) => step.state)).toEqual(['pending', 'undone', 'skipped', 'skipped']);
  expect(await outcomeOf(runId ?? '')).toBe('needs_action');
  await waitFor(
    async () =>
      (
        await engine.sql.query(
          `select from pg_stat_activity where query like '%pg_sleep(30)%' and pid <> pg_backend_pid() and state = 'active'`,
        )
      ).rowCount === 0,
  );
  expect(await tables(engine)).toEqual([]);
  expect((await receipts(engine, runId)).filter((line) => line.endsWith(' done'))).toEqual([
    'backup do done',
    'one do done',
    'one/do/t_one.sql do done',
  ]);
});

test('the next start takes over a run whose workflow was terminated', async () => {
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve()]),
  );
  const { runId } = await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null);
  await handle.terminate('a test');
  const later = await succeeds('t_two');
  expect(await outcomeOf(runId ?? '')).toBe('needs_action');
  const left = await engine.sql.query('select cause, left_to_do from sluice.run where run_id = $1', [runId]);
  expect(left.rows[0]).toMatchObject({
    cause: expect.stringMatching(/ended without closing it/),
    left_to_do: [{ how: expect.stringMatching(/^sluice macro rollback \d+$/) }],
  });
  expect(await tables(engine)).toEqual(['t_one', 't_two']);

  const refused = await failure(await engine.undo(runId ?? ''));
  expect(refused.type).toBe('target_conflict');
  expect(refused.message).toMatch(
    /Later runs stand on run \d+: \d+ \(test-macro\).*Roll back the latest first.*Nothing was changed/,
  );
  expect((await undo(later)).outcome).toBe('rolled_back');
  expect((await undo(runId ?? '')).outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
});

test('a second macro on the same database is refused, under the same workflow id, another id, or another target name', async () => {
  const planHash = await engine.plan([noBackup(), approve()]);
  const handle = await engine.start(planHash);
  const { runId } = await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null);
  const { client, taskQueue, target } = engine;
  const input = { target, planHash, actor: 'cy', reason: 'a test' };
  await expect(startMacro({ client, macro: 'test-macro', taskQueue }, input)).rejects.toThrow(
    /A run is open on target .*Expected|One macro at a time per database/,
  );
  const other = await client.workflow.start('macro', {
    workflowId: `mine-${target}`,
    taskQueue,
    args: [input],
  });
  expect(await failure(other)).toMatchObject({
    type: 'usage',
    message: expect.stringContaining(`Expected the id ${macroWorkflowId(target)}`),
  });

  const alias = `${target}-alias`;
  const aliasHash = await engine.plan([noBackup(), approve()], { target: alias });
  const aliased = await client.workflow.start('macro', {
    workflowId: macroWorkflowId(alias),
    taskQueue,
    args: [{ ...input, target: alias, planHash: aliasHash }],
  });
  expect(await failure(aliased)).toMatchObject({
    type: 'target_conflict',
    message: expect.stringMatching(
      /Run \d+ \(test-macro\) of this database is unfinished: workflow macro\/.* is open.*Nothing was changed/,
    ),
  });
  const undoing = await client.workflow.start('undoMacro', {
    workflowId: macroWorkflowId(alias),
    taskQueue,
    args: [{ target: alias, undoRunId: runId, actor: 'cy', reason: 'a test' }],
  });
  expect((await failure(undoing)).type).toBe('target_conflict');
  expect((await statusOf(handle)).outcome).toBeNull();
  await handle.cancel();
  expect((await engine.outcome(handle)).outcome).toBe('rolled_back');
});

test('an undo of a run that the target does not know, or of an undo, is refused', async () => {
  const unknown = await failure(await engine.undo('00000000-0000-0000-0000-000000000000'));
  expect(unknown).toMatchObject({
    type: 'run_not_found',
    message: expect.stringMatching(/has no run 00000000-/),
  });
  const runId = await succeeds('t_one');
  const undone = await undo(runId);
  const again = await failure(await engine.undo(undone.runId ?? ''));
  expect(again).toMatchObject({
    type: 'target_conflict',
    message: expect.stringMatching(/is itself an undo/),
  });
});

test('an undo run takes no update, and cancelling it does not stop it', async () => {
  const slow = {
    do: engine.script('create table t_slow (id integer)', 'do/slow.sql'),
    undo: engine.script('select pg_sleep(2); drop table t_slow', 'undo/slow.sql'),
  };
  const { runId } = await engine.outcome(
    await engine.start(await engine.plan([noBackup(), change('slow', [slow])])),
  );
  const handle = await engine.undo(runId ?? '');
  await untilExecutes(engine, 'pg_sleep(2)');
  expect(await refusal(handle, 'hold')).toMatch(/no longer goes forward/);
  expect(await refusal(handle, 'rollback')).toMatch(/is being rolled back or has ended/);
  await handle.cancel();
  expect((await engine.outcome(handle)).outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
});

test('a step that holds already is marked so, and its undo leaves it alone', async () => {
  const holds = engine.script(
    `select 'H1' as check_id, case when to_regclass('t_held') is null then 'fail' else 'pass' end as verdict, 'there' as detail`,
  );
  await engine.sql.query('create table t_held (id integer)');
  const planHash = await engine.plan([
    noBackup(),
    change('held', [table(engine, 't_held')], { holds }),
    change('one', [table(engine, 't_one')]),
    check('proof', [reports(engine, 'pass')], { kind: 'verify' }),
  ]);
  const status = await engine.outcome(await engine.start(planHash));
  expect(status.outcome).toBe('succeeded');
  expect(status.steps[1]).toMatchObject({
    state: 'already_applied',
    verdict: 'pass',
    detail: 'holds already: H1',
  });
  expect(await receipts(engine, status.runId)).toContain('held do already_applied');
  const undone = await undo(status.runId ?? '');
  expect(undone.outcome).toBe('rolled_back');
  expect(undone.steps.map((step) => step.state)).toEqual(['pending', 'skipped', 'undone', 'pending']);
  expect(await tables(engine)).toEqual(['t_held']);

  await engine.sql.query('drop table t_held');
  const done = await engine.outcome(await engine.start(planHash));
  expect(done.steps[1]).toMatchObject({ state: 'done' });
  expect((await undo(done.runId ?? '')).outcome).toBe('rolled_back');
  expect(await tables(engine)).toEqual([]);
});
