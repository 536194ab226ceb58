import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { approve, change, check, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import { failures, pending, send, table, tables, untilStatus } from '../support/engine-facts.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine();
});
beforeEach(() =>
  engine.sql.query('create table t_gate (verdict text); insert into t_gate values ($$pass$$)'),
);
afterEach(async () => {
  await engine.abandon();
  await engine.sql.query('drop table t_gate');
});
afterAll(() => engine.close());

const gate = () =>
  check('gate', [engine.script(`select 'G1' as check_id, verdict, 'the gate' as detail from t_gate`)]);
const says = (verdict: string) => engine.sql.query('update t_gate set verdict = $1', [verdict]);
type Handle = Awaited<ReturnType<TestEngine['start']>>;
const approvePending = async (handle: Handle) => {
  const { planHash, fingerprint } = await pending(handle);
  await send(handle, 'approve', { planHash, fingerprint });
};

test('a check that fails after the approval turns the run back before anything is changed', async () => {
  const handle = await engine.start(
    await engine.plan([gate(), noBackup(), approve(), change('one', [table(engine, 't_one')])]),
  );
  await pending(handle);
  await says('fail');
  await approvePending(handle);
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/Step gate passed before the wait and is fail after it. G1 fail: the gate/);
  expect(await failures(engine, status.runId)).toEqual(['gate do verdict_fail']);
  expect(await tables(engine)).toEqual(['t_gate']);
});

test('a check that still passes lets the run go on', async () => {
  const handle = await engine.start(
    await engine.plan([gate(), noBackup(), approve(), change('one', [table(engine, 't_one')])]),
  );
  await approvePending(handle);
  expect((await engine.outcome(handle)).outcome).toBe('succeeded');
  await engine.sql.query('drop table t_one');
});

test('a check that fails after a hold turns the run back', async () => {
  const handle = await engine.start(
    await engine.plan([gate(), noBackup(), approve(), change('one', [table(engine, 't_one')])]),
  );
  await pending(handle);
  await send(handle, 'hold');
  await approvePending(handle);
  await untilStatus(handle, ({ phase }) => phase === 'held');
  await says('fail');
  await send(handle, 'release');
  const status = await engine.outcome(handle);
  expect([status.outcome, status.cause]).toEqual([
    'rolled_back',
    expect.stringMatching(/gate passed before the wait and is fail after it/),
  ]);
});

test('a check is not repeated once the run has changed something, for its own effect may contradict it', async () => {
  const handle = await engine.start(
    await engine.plan([gate(), noBackup(), change('one', [table(engine, 't_one')]), approve()]),
  );
  await pending(handle);
  await says('fail');
  await approvePending(handle);
  expect((await engine.outcome(handle)).outcome).toBe('succeeded');
});
