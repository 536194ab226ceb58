import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { approve, change, check, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine();
});
afterAll(() => engine.close());

const table = (name: string) => ({
  do: engine.script(`create table ${name} (id integer)`),
  undo: engine.script(`drop table ${name}`),
});
const tables = async () =>
  (
    await engine.sql.query(
      `select relname from pg_class where relnamespace = 'public'::regnamespace order by relname`,
    )
  ).rows.map((row) => row.relname);

test('a macro succeeds step by step, each with its receipt', async () => {
  const planHash = await engine.plan([
    check('gate', [engine.script(`select 'C1' as check_id, 'pass' as verdict, 'fine' as detail`)]),
    noBackup(),
    change('one', [table('t_one')]),
    change('two', [table('t_two'), table('t_three')]),
    check(
      'proof',
      [
        engine.script(
          `select 'V1' as check_id, 'pass' as verdict, 'there' as detail from t_three having true`,
        ),
      ],
      {
        kind: 'verify',
      },
    ),
  ]);
  const status = await engine.outcome(await engine.start(planHash));
  expect(status.outcome).toBe('succeeded');
  expect(status.steps.map((step) => [step.id, step.verdict, step.state])).toEqual([
    ['gate', 'pass', 'done'],
    ['backup', 'pass', 'done'],
    ['one', 'pass', 'done'],
    ['two', 'pass', 'done'],
    ['proof', 'pass', 'done'],
  ]);
  expect(await tables()).toEqual(['t_one', 't_three', 't_two']);
  const undone = await engine.outcome(await engine.undo(status.runId ?? ''));
  expect(undone.outcome).toBe('rolled_back');
  expect(await tables()).toEqual([]);
});

test('a step that fails takes back what ran before it', async () => {
  const planHash = await engine.plan([
    noBackup(),
    change('one', [table('t_one')]),
    change('bad', [
      { do: engine.script('create table t_bad (id nonsense)'), undo: engine.script('drop table t_bad') },
    ]),
  ]);
  const status = await engine.outcome(await engine.start(planHash));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/line 1 column \d+: type "nonsense" does not exist/);
  expect(await tables()).toEqual([]);
});

test('a second person approves; the requester, a wrong hash and a wrong fingerprint are refused', async () => {
  const planHash = await engine.plan([noBackup(), approve(), change('one', [table('t_one')])]);
  const handle = await engine.start(planHash);
  const pending = await waitFor(async () => (await handle.query<MacroStatus>('status')).pendingApproval);
  const good = { actor: 'bo', reason: 'reviewed', planHash, fingerprint: pending.fingerprint };
  const send = (args: object) => handle.executeUpdate('approve', { args: [args] });
  const words = (args: object) => send(args).catch((error) => String(error.cause?.message ?? error.message));
  expect(await words({ ...good, actor: 'Ana' })).toMatch(/Ana asked for this run/);
  expect(await words({ ...good, planHash: 'beef' })).toMatch(/plan hash beef is not the plan that runs/);
  expect(await words({ ...good, fingerprint: 'beef' })).toMatch(/fingerprint beef is not the database/);
  expect(await words({ actor: 'bo', planHash })).toMatch(/"reason" is missing/);
  expect(await send(good)).toMatch(/approved/);
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  const recorded = await engine.sql.query(
    'select action, actor, temporal_identity is not null as known from sluice.control_action where run_id = $1',
    [status.runId],
  );
  expect(recorded.rows).toEqual([{ action: 'approve', actor: 'bo', known: true }]);
  await engine.outcome(await engine.undo(status.runId ?? ''));
  expect(await tables()).toEqual([]);
});

test('cancelling a waiting run rolls it back', async () => {
  const planHash = await engine.plan([noBackup(), change('one', [table('t_one')]), approve()]);
  const handle = await engine.start(planHash);
  await waitFor(async () => (await handle.query<MacroStatus>('status')).pendingApproval);
  expect(await tables()).toEqual(['t_one']);
  await handle.cancel();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect((await handle.describe()).status.name).toBe('CANCELLED');
  expect(await tables()).toEqual([]);
});
