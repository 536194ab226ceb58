import { temporal as proto } from '@temporalio/proto';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { macroWorkflowId } from '../../contracts/names.ts';
import { approve, change, check, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import { send, statusOf, table, untilStatus } from '../support/engine-facts.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine();
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

type Handle = Awaited<ReturnType<TestEngine['start']>>;

/** The text under User Metadata in the UI. */
const currentDetails = async (handle: Handle): Promise<string> => {
  const metadata = await handle.query<proto.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata');
  return metadata.currentDetails ?? '';
};
const pendingOf = (handle: Handle) => untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null);

test('current details show the step table, what is waited for, and the JSON to paste', async () => {
  const planHash = await engine.plan([
    noBackup(),
    change('one', [table(engine, 't_one')]),
    approve(),
    change('two', [table(engine, 't_two')]),
  ]);
  const handle = await engine.start(planHash);
  const { pendingApproval, runNo } = await pendingOf(handle);
  const details = await currentDetails(handle);
  expect(details).toContain(`**test-macro** on \`${engine.target}\`, run ${runNo}: **approve**`);
  expect(details).toMatch(/\| one \| migrate \| ✓ done \| pass \| 1 \| \d+\.\d s \| 1 file, 1 statement/);
  expect(details).toMatch(/\| two \| migrate \| · \|/);
  expect(details).toContain('Waits for an approval** of step `approval` by somebody other than ana');
  const pasted = JSON.parse(/```json\n([\s\S]*?)```/.exec(details)?.[1] ?? '');
  expect(pasted).toEqual({
    actor: 'YOUR NAME',
    reason: 'WHY',
    planHash,
    fingerprint: pendingApproval?.fingerprint,
  });
  expect(await send(handle, 'approve', { ...pasted, actor: 'bo' })).toBe('approved step approval');
  const status = await engine.outcome(handle);
  expect(await statusOf(handle)).toEqual(status);
  expect(await currentDetails(handle)).toContain('**succeeded**');
  await engine.outcome(await engine.undo(status.runId ?? ''));
});

test('search attributes and memo say macro, target, phase, outcome and run', async () => {
  const handle = await engine.start(await engine.plan([noBackup(), approve()], { macro: 'shown-macro' }));
  const { runId, runNo } = await pendingOf(handle);
  const open = await handle.describe();
  expect(open.memo).toEqual({ macro: 'shown-macro', runNo, runId });
  const attributes = Object.fromEntries(
    open.typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]),
  );
  expect(attributes).toMatchObject({
    SluiceMacro: 'shown-macro',
    SluiceTarget: engine.target,
    SluicePhase: 'approve',
  });
  await handle.cancel();
  await engine.outcome(handle);
  const ended = await handle.describe();
  const after = Object.fromEntries(
    ended.typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]),
  );
  expect(after).toMatchObject({ SluicePhase: 'ended', SluiceOutcome: 'rolled_back' });
});

test('every activity and timer has a summary', async () => {
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve()]),
  );
  await pendingOf(handle);
  await handle.cancel();
  await engine.outcome(handle);
  const { events } = await handle.fetchHistory();
  const scheduled = (events ?? []).filter(
    (event) => event.activityTaskScheduledEventAttributes || event.timerStartedEventAttributes,
  );
  expect(scheduled.length).toBeGreaterThan(6);
  const summaries = scheduled.map((event) => Buffer.from(event.userMetadata?.summary?.data ?? []).toString());
  expect(summaries.filter((summary) => summary === '')).toEqual([]);
  expect(summaries).toEqual(
    expect.arrayContaining([
      '"migrate: a step of a test"',
      '"undo: a step of a test"',
      expect.stringMatching(/approval expires/),
    ]),
  );
});

test('no secret and no row data is in a history', async () => {
  await engine.sql.query(`create table t_person (email text primary key, age integer)`);
  await engine.sql.query(`insert into t_person values ('eve@example.org', 41)`);
  const doubles = {
    do: engine.script(`insert into t_person select email, 1 from t_person`, 'doubles.sql'),
    undo: engine.script('select 1'),
  };
  const casts = {
    do: engine.script('update t_person set age = email::integer', 'casts.sql'),
    undo: engine.script('select 1'),
  };
  const tells = engine.script(`select 'C1' as check_id, 'pass' as verdict, email as detail from t_person`);
  const password = new URL(engine.database.url).password;
  const runs = [change('doubles', [doubles]), change('casts', [casts]), check('tells', [tells])];
  for (const step of runs) {
    const handle = await engine.start(await engine.plan([noBackup(), step]));
    const status = await engine.outcome(handle);
    const { events } = await handle.fetchHistory();
    const text = JSON.stringify(
      (events ?? []).map((event) =>
        proto.api.history.v1.HistoryEvent.toObject(event as proto.api.history.v1.HistoryEvent, {
          bytes: String,
        }),
      ),
    );
    const clear = [...text.matchAll(/"data":"([A-Za-z0-9+/=]+)"/g)].map(([, data]) =>
      Buffer.from(data ?? '', 'base64').toString(),
    );
    const all = [text, ...clear].join('\n');
    expect(clear.join('\n')).toContain(engine.target);
    expect(all).not.toContain('eve@example.org');
    expect(all).not.toContain(password);
    if (step.id === 'tells') continue;
    expect(status.outcome).toBe('rolled_back');
    const recorded = await engine.sql.query('select message from sluice.step_failure where run_id = $1', [
      status.runId,
    ]);
    expect(recorded.rows[0]?.message).toContain('eve@example.org');
  }
  await engine.sql.query('drop table t_person');
});

test('a start that the UI’s form got wrong fails in words, and opens no run', async () => {
  const { client, target, taskQueue } = engine;
  const words = async (workflowId: string, args: unknown[], type = 'macro') => {
    const handle = await client.workflow.start(type, { workflowId, taskQueue, args });
    const error = await handle.result().catch((thrown: Error) => thrown);
    return String(
      (error as Error).cause instanceof Error ? ((error as Error).cause as Error).message : error,
    );
  };
  const id = macroWorkflowId(target);
  const before = (await engine.sql.query('select count(*) from sluice.run')).rows[0]?.count;
  const good = { target, planHash: 'beef', actor: 'ana', reason: 'a test' };
  expect(await words(id, [])).toMatch(
    /The input has no "target".*Expected one object \{"target": "…".*Nothing was changed/,
  );
  expect(await words(id, [{ ...good, reason: '' }])).toMatch(/has no "reason"/);
  expect(await words(id, [{ ...good, planHash: 7 }])).toMatch(/has no "planHash"/);
  expect(await words('macro/other', [good])).toMatch(
    new RegExp(`under the id macro/other. Expected the id ${id}`),
  );
  expect(await words(id, [good], 'undoMacro')).toMatch(/has no "undoRunId"/);
  expect((await engine.sql.query('select count(*) from sluice.run')).rows[0]?.count).toBe(before);
});
