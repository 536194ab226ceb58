import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { approve, change, check, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import {
  actions,
  failures,
  pending,
  refusal,
  send,
  statusOf,
  table,
  tables,
  untilExecutes,
  untilStatus,
  untilStep,
} from '../support/engine-facts.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine();
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

test('a rejected approval rolls the run back and says by whom', async () => {
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve()]),
  );
  await pending(handle);
  expect(await send(handle, 'reject', { reason: 'not today' })).toMatch(/rolls back/);
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/bo rejected step approval: not today/);
  expect(await actions(engine, status.runId)).toEqual(['bo reject']);
  expect(await tables(engine)).toEqual([]);
});

test('an approval that nobody gives expires and rolls the run back', async () => {
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve('approval', 800)]),
  );
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/approval of step approval expired at \d{4}-/);
  expect(await actions(engine, status.runId)).toEqual(['sluice expired']);
  expect(await tables(engine)).toEqual([]);
});

test('each approval is asked for on its own: the first says nothing of the second', async () => {
  const handle = await engine.start(
    await engine.plan([
      noBackup(),
      approve('first'),
      change('one', [table(engine, 't_one')]),
      approve('second'),
    ]),
  );
  await send(handle, 'approve', await pending(handle));
  const second = await untilStatus(handle, ({ pendingApproval }) => pendingApproval?.stepId === 'second');
  expect(second.steps.find((step) => step.id === 'second')?.state).toBe('waiting');
  await send(handle, 'approve', await pending(handle));
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(await actions(engine, status.runId)).toEqual(['bo approve', 'bo approve']);
  await engine.outcome(await engine.undo(status.runId ?? ''));
});

test('an approval of a database that changed meanwhile is asked for again', async () => {
  const handle = await engine.start(
    await engine.plan([noBackup(), approve(), change('one', [table(engine, 't_one')])]),
  );
  const before = await pending(handle);
  await engine.sql.query('create table t_stranger (id integer)');
  await send(handle, 'approve', before);
  const again = await untilStatus(
    handle,
    ({ pendingApproval }) => pendingApproval !== null && pendingApproval.fingerprint !== before.fingerprint,
  );
  expect(await refusal(handle, 'approve', before)).toMatch(/is not the database that waits/);
  await send(handle, 'approve', { ...before, fingerprint: again.pendingApproval?.fingerprint });
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(await failures(engine, status.runId)).toEqual(['approval do approval_refused']);
  await engine.outcome(await engine.undo(status.runId ?? ''));
  await engine.sql.query('drop table t_stranger');
});

test('a held run stops before its next step and goes on when it is released', async () => {
  const gate = {
    do: engine.script('create table t_slow (id integer); select pg_sleep(1)', 'slow.sql'),
    undo: engine.script('drop table t_slow'),
  };
  const handle = await engine.start(
    await engine.plan([noBackup(), change('slow', [gate]), change('one', [table(engine, 't_one')])]),
  );
  await untilExecutes(engine, 'pg_sleep(1)');
  expect(await send(handle, 'hold', { reason: 'let me look' })).toMatch(/held/);
  const held = await untilStatus(handle, ({ phase }) => phase === 'held');
  expect(held.steps[1]).toMatchObject({ id: 'slow', state: 'done' });
  expect(held.held).toEqual({ actor: 'bo', reason: 'let me look' });
  expect(held.steps.at(-1)?.state).toBe('pending');
  expect(await refusal(handle, 'hold')).toMatch(/The run is held already.*Nothing was changed/);
  expect(await send(handle, 'release')).toBe('released');
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(await actions(engine, status.runId)).toEqual(['bo hold', 'bo release']);
  await engine.outcome(await engine.undo(status.runId ?? ''));
});

test('a database that changed while the run was held has to be accepted by its fingerprint', async () => {
  const handle = await engine.start(
    await engine.plan([noBackup(), approve(), change('one', [table(engine, 't_one')])]),
  );
  const asked = await pending(handle);
  await send(handle, 'hold');
  await send(handle, 'approve', asked);
  await untilStatus(handle, ({ phase }) => phase === 'held');
  await engine.sql.query('create table t_stranger (id integer)');
  const words = await refusal(handle, 'release');
  expect(words).toMatch(/database changed while the run was held.*still held/);
  const acceptFingerprint = /"acceptFingerprint": "([0-9a-f]{64})"/.exec(words)?.[1];
  expect(await refusal(handle, 'release', { acceptFingerprint: 'beef' })).toMatch(/database changed/);
  expect((await statusOf(handle)).held).not.toBeNull();
  expect(await send(handle, 'release', { acceptFingerprint })).toBe('released');
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  await engine.outcome(await engine.undo(status.runId ?? ''));
  await engine.sql.query('drop table t_stranger');
});

test('an inconclusive verdict waits for a person, who tries the step again', async () => {
  await engine.sql.query('create table t_answer (verdict text)');
  await engine.sql.query(`insert into t_answer values ('inconclusive')`);
  const asks = engine.script(`select 'C1' as check_id, verdict, 'asked' as detail from t_answer`);
  const handle = await engine.start(await engine.plan([check('gate', [asks]), noBackup()]));
  const waiting = await untilStep(handle, 'gate', 'waiting');
  expect(waiting.held?.reason).toMatch(/step gate is inconclusive: C1 inconclusive: asked/);
  expect(await refusal(handle, 'release')).toMatch(
    /Nobody holds the run; step gate is inconclusive.*Expected: retryStep/,
  );
  expect(await refusal(handle, 'retryStep', { actor: '' })).toMatch(/"actor" is missing or empty/);
  await send(handle, 'retryStep');
  await untilStatus(handle, ({ steps }) => steps[0]?.state === 'waiting' && (steps[0]?.attempts ?? 0) === 2);
  await engine.sql.query(`update t_answer set verdict = 'pass'`);
  await send(handle, 'retryStep');
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  expect(status.steps[0]).toMatchObject({ verdict: 'pass', attempts: 3 });
  expect(await failures(engine, status.runId)).toEqual([
    'gate do verdict_inconclusive',
    'gate do verdict_inconclusive',
  ]);
  expect(await actions(engine, status.runId)).toEqual(['bo retryStep', 'bo retryStep']);
  await engine.sql.query('drop table t_answer');
});

test('a failed step with on_fail: hold waits for a person; without it the run turns back', async () => {
  await engine.sql.query('create table t_hurdle (id integer)');
  const hurdle = {
    do: engine.script('create table t_hurdle (id integer)'),
    undo: engine.script('drop table t_hurdle'),
  };
  const handle = await engine.start(
    await engine.plan([noBackup(), change('one', [hurdle], { onFail: 'hold' })]),
  );
  const waiting = await untilStep(handle, 'one', 'waiting');
  expect(waiting.held).toMatchObject({ actor: 'sluice' });
  expect(waiting.steps[1]).toMatchObject({ verdict: 'fail' });
  await engine.sql.query('drop table t_hurdle');
  await send(handle, 'retryStep');
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  await engine.outcome(await engine.undo(status.runId ?? ''));
  await engine.sql.query('create table t_hurdle (id integer)');
  const turned = await engine.outcome(
    await engine.start(await engine.plan([noBackup(), change('one', [hurdle])])),
  );
  expect(turned.outcome).toBe('rolled_back');
  await engine.sql.query('drop table t_hurdle');
});

test('a run that is held and has a step that waits needs both answers', async () => {
  const slowly = engine.script(
    `select 'C1' as check_id, 'inconclusive' as verdict, pg_sleep(1)::text as detail`,
  );
  const handle = await engine.start(await engine.plan([check('gate', [slowly]), noBackup()]));
  await untilExecutes(engine, 'pg_sleep(1)');
  await send(handle, 'hold', { reason: 'mine' });
  await untilStep(handle, 'gate', 'waiting');
  expect((await statusOf(handle)).held).toEqual({ actor: 'bo', reason: 'mine' });
  expect(await refusal(handle, 'retryStep')).toMatch(/bo holds the run.*release it first, then retryStep/);
  await send(handle, 'release');
  expect((await statusOf(handle)).held).toMatchObject({ actor: 'sluice' });
  await send(handle, 'rollback');
  expect((await engine.outcome(handle)).outcome).toBe('rolled_back');
});

test.each(['running', 'held', 'waiting for an approval'])(
  'rollback works while the run is %s',
  async (when) => {
    const slow = { do: engine.script('select pg_sleep(20)', 'slow.sql'), undo: engine.script('select 1') };
    const second = when === 'running' ? change('slow', [slow]) : approve();
    const handle = await engine.start(
      await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), second]),
    );
    if (when === 'running') await untilExecutes(engine, 'pg_sleep(20)');
    else await pending(handle);
    if (when === 'held') await send(handle, 'hold');
    expect(await send(handle, 'rollback', { reason: 'changed my mind' })).toBe('rolling back');
    const startedAt = Date.now();
    const status = await engine.outcome(handle);
    expect(Date.now() - startedAt).toBeLessThan(10_000);
    expect(status).toMatchObject({
      outcome: 'rolled_back',
      cause: 'rolled back by bo: changed my mind',
      held: null,
    });
    expect(await actions(engine, status.runId)).toEqual(
      when === 'held' ? ['bo hold', 'bo rollback'] : ['bo rollback'],
    );
    expect(await tables(engine)).toEqual([]);
    expect((await handle.describe()).status.name).toBe('FAILED');
  },
);

test('updates that are out of place are refused in words, and change nothing', async () => {
  const handle = await engine.start(await engine.plan([noBackup(), approve()]));
  const asked = await pending(handle);
  expect(await refusal(handle, 'release')).toMatch(
    /The run is not held.*Expected: release answers hold.*Nothing was changed/,
  );
  expect(await refusal(handle, 'retryStep')).toMatch(/No step waits for a person/);
  expect(await refusal(handle, 'hold', { reason: ' ' })).toMatch(
    /"reason" is missing or empty.*Expected: an object/,
  );
  expect(await refusal(handle, 'approve', { ...asked, actor: 'ana' })).toMatch(/ana asked for this run/);
  await send(handle, 'approve', asked);
  expect((await engine.outcome(handle)).outcome).toBe('succeeded');
  expect(await refusal(handle, 'rollback')).toMatch(/already completed/);
});

test('a run that rolls back refuses to be held, approved, rejected or rolled back again', async () => {
  const stubborn = {
    do: engine.script('create table t_one ()'),
    undo: engine.script('select pg_sleep(2); drop table t_one', 'slow-undo.sql'),
  };
  const handle = await engine.start(await engine.plan([noBackup(), change('one', [stubborn]), approve()]));
  const asked = await pending(handle);
  await send(handle, 'rollback');
  await untilStep(handle, 'one', 'undoing');
  expect(await refusal(handle, 'hold')).toMatch(/no longer goes forward/);
  expect(await refusal(handle, 'rollback')).toMatch(/is being rolled back or has ended/);
  expect(await refusal(handle, 'approve', asked)).toMatch(/No approval is pending/);
  expect(await refusal(handle, 'reject')).toMatch(/No approval is pending/);
  expect((await engine.outcome(handle)).outcome).toBe('rolled_back');
});
