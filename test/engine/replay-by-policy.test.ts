import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { applySchedule } from '../../client/apply-schedule.ts';
import { readSchedule } from '../../client/read-schedule.ts';
import { deleteSchedule } from '../../client/steer-schedule.ts';
import { replayWorkflowId } from '../../contracts/names.ts';
import type { ReplayByPolicyInput, ReplayByPolicyResult } from '../../contracts/replay.ts';
import type { TestEngine } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';
import { attemptsOf, behave, deadLetters, replayingEngine, rowsOf, runsOf } from './support/replays.ts';

vi.setConfig({ testTimeout: 60_000 });

let engine: TestEngine;
beforeAll(async () => {
  engine = await replayingEngine();
});
afterAll(() => engine.close());

/** A policy for a route that replays letters of any age. */
async function policy(route: string, isEnabled = true, policy: object = {}): Promise<void> {
  const { sql } = engine;
  await sql.query(`select fn_iu_replay_policy_set($1, $2, $3, 0, 100, 10, '', 'ana', 'a test')`, [
    route,
    JSON.stringify({ routes: [route] }),
    JSON.stringify({ canary: 0, ratePerSecond: null, ...policy }),
  ]);
  await sql.query(`select fn_iu_replay_policy_switch($1, $2, 'ana', 'a test')`, [route, isEnabled]);
}
const noPolicies = () =>
  engine.sql.query(
    `select fn_iu_replay_policy_remove(policy_code, 'ana', 'a test') from iu_replay_policy order by policy_code`,
  );

function start() {
  const { client, target, taskQueue } = engine;
  return client.workflow.start<(input: ReplayByPolicyInput) => Promise<ReplayByPolicyResult>>(
    'replayByPolicy',
    {
      workflowId: `replay/${target}`,
      taskQueue,
      args: [{ target, actor: 'the schedule', reason: 'a test' }],
    },
  );
}

test('what a policy that is switched on matches is replayed; the others say why they did nothing', async () => {
  await deadLetters(engine, 'mended', 20);
  await deadLetters(engine, 'off', 5);
  await behave(engine, 'sends');
  await policy('mended');
  await policy('off', false);
  const handle = await start();
  const { plans, passedOver } = await handle.result();
  expect(plans).toEqual([
    {
      policy: 'mended',
      planHash: expect.stringMatching(/^[0-9a-f]{64}$/),
      outcome: 'executed',
      resolved: 20,
      failed: 0,
      because: null,
    },
  ]);
  expect(passedOver).toEqual([{ policy: 'off', because: 'it is switched off' }]);
  expect(await attemptsOf(engine, 'mended')).toEqual(['1 failed: 20', '2 sent: 20']);
  expect(await attemptsOf(engine, 'off')).toEqual(['1 failed: 5']);
  const child = engine.client.workflow.getHandle(replayWorkflowId(engine.target, plans[0]?.planHash ?? ''));
  expect((await child.describe()).status.name).toBe('COMPLETED');
  await noPolicies();
});

test('cancelled, it cancels the plan at work, whose rest stays open', async () => {
  await deadLetters(engine, 'slowly', 50);
  await behave(engine, 'sends');
  await policy('slowly', true, { ratePerSecond: 5 });
  const handle = await start();
  const planHash = await waitFor(async () => {
    const { rows } = await engine.sql.query<{ plan_hash: string }>(
      `select plan_hash from iu_replay_progress where state = 'running' and resolved > 0`,
    );
    return rows[0]?.plan_hash;
  });
  await handle.cancel();
  await expect(handle.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect(await rowsOf(engine, planHash)).toMatchObject({ state: 'cancelled' });
  expect(await runsOf(engine, planHash)).toEqual(['cancelled']);
  await noPolicies();
});

test('its schedule replays by itself', async () => {
  await deadLetters(engine, 'scheduled', 10);
  await behave(engine, 'sends');
  await policy('scheduled');
  const { client, target, taskQueue } = engine;
  const input = { target, actor: 'the schedule', reason: 'a test' };
  const asked = { target, everyMs: 1_000, jitterMs: 0, taskQueue, actor: 'ana', reason: 'a test' };
  const request = { ...asked, start: { name: 'replay', input } } as const;
  expect(await applySchedule(client, request)).toEqual({ applied: 'created', differences: [] });
  try {
    await waitFor(async () => (await attemptsOf(engine, 'scheduled')).includes('2 sent: 10'), 40_000);
    expect(await readSchedule(client, target, 'replay')).toMatchObject({
      overlap: 'SKIP',
      catchupMs: 30_000,
      workflowType: 'replayByPolicy',
    });
  } finally {
    await deleteSchedule(client, target, 'replay');
  }
  await waitFor(async () => {
    const query = `SluiceTarget = '${target}' and ExecutionStatus = 'Running'`;
    for await (const _ of client.workflow.list({ query })) return false;
    return true;
  });
  expect(await attemptsOf(engine, 'scheduled')).toEqual(['1 failed: 10', '2 sent: 10']);
});
