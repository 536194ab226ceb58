import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { noBackup, type TestEngine, testEngine } from '../support/engine.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine();
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

const drainStep = {
  id: 'drain',
  kind: 'run',
  title: 'Drain what waits',
  onFail: 'rollback',
  workflow: 'drain',
  input: { cursorCode: 'a_cursor', batchSize: 2, forMs: 0, idleMs: 50 },
} as const;

test('a run step waits for its child workflow, and its receipt holds what the child returned', async () => {
  await engine.sql.query(
    `create table t_left (events integer);
     insert into t_left values (3);
     create function fn_iu_route_worker_run(p_cursor_code text, p_limit integer) returns jsonb language sql as $$
       with claimed as (select least(events, p_limit) as seen from t_left),
         advanced as (update t_left set events = events - (select seen from claimed) returning events)
       select jsonb_build_object('status', 'ran', 'seen', seen, 'attempts_written', seen, 'dead_lettered', 0)
       from claimed, advanced
     $$`,
  );
  const status = await engine.outcome(await engine.start(await engine.plan([noBackup(), drainStep])));
  expect([status.outcome, status.cause]).toEqual(['succeeded', '']);
  const receipt = await engine.sql.query(
    `select verdict, detail, facts from sluice.step_receipt where run_id = $1 and step_id = 'drain'`,
    [status.runId],
  );
  expect(receipt.rows).toEqual([
    {
      verdict: 'pass',
      detail: expect.stringMatching(/^events 3, attempts 3, deadLettered 0, batches 2/),
      facts: {
        workflowId: `macro/${engine.target}/${status.runNo}/drain`,
        result: expect.objectContaining({ events: 3, batches: 2, status: 'ran' }),
      },
    },
  ]);
});

test('a run step whose child workflow fails turns the run back, and says why', async () => {
  await engine.sql.query('drop function if exists fn_iu_route_worker_run');
  const status = await engine.outcome(await engine.start(await engine.plan([noBackup(), drainStep])));
  expect(status.outcome).toBe('rolled_back');
  expect(status.cause).toMatch(/Step drain: fail\..*fn_iu_route_worker_run.*does not exist/);
});
