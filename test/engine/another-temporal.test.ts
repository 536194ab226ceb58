import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { startMacro } from '../../client/start-macro.ts';
import { noBackup, type TestEngine, testEngine } from '../support/engine.ts';

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine();
});
afterEach(() => engine.abandon());
afterAll(() => engine.close());

/** The row that a run leaves whose Temporal is not this one. */
async function unfinishedRunOf(address: string, planHash: string): Promise<string> {
  const inserted = await engine.sql.query<{ run_id: string }>(
    `insert into sluice.run (kind, macro, target, plan_hash, workflow_id, temporal_run_id, temporal_namespace,
       temporal_address, temporal_cluster_id, actor, reason, fingerprint)
     values ('forward', 'test-macro', $1, $2, 'macro/' || $1, gen_random_uuid(), 'default', $3, 'another-cluster', 'ana', 'a test', 'none')
     returning run_id`,
    [engine.target, planHash, address],
  );
  return inserted.rows[0]?.run_id ?? '';
}

const start = (planHash: string, takeOver?: true) =>
  startMacro(
    { client: engine.client, macro: 'test-macro', taskQueue: engine.taskQueue },
    { target: engine.target, planHash, actor: 'ana', reason: 'a test', ...(takeOver && { takeOver }) },
  );
const outcomeOf = async (runId: string) =>
  (await engine.sql.query('select outcome from sluice.run where run_id = $1', [runId])).rows[0]?.outcome;

test('a run whose Temporal was replaced by another at its address is taken over by the next start', async () => {
  const planHash = await engine.plan([noBackup()]);
  const runId = await unfinishedRunOf(engine.address, planHash);
  expect((await engine.outcome(await start(planHash))).outcome).toBe('succeeded');
  expect(await outcomeOf(runId)).toBe('needs_action');
});

test('a run whose Temporal does not answer is taken over only by one who says so', async () => {
  const planHash = await engine.plan([noBackup()]);
  const runId = await unfinishedRunOf('127.0.0.1:1', planHash);
  const refused = await engine.outcome(await start(planHash)).catch((error) => error.cause?.cause);
  expect(refused.type).toBe('target_conflict');
  expect(refused.message).toMatch(/does not answer.*One macro at a time.*Nothing was changed.*--take-over/);
  expect(await outcomeOf(runId)).toBe(null);
  expect((await engine.outcome(await start(planHash, true))).outcome).toBe('succeeded');
  expect(await outcomeOf(runId)).toBe('needs_action');
});
