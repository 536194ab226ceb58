import { ApplicationFailure } from '@temporalio/common';
import { afterEach, expect, test, vi } from 'vitest';
import type { ReplayResult, ReplaySlice } from '../../contracts/replay.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Alone, alone, blocked, details, progress, slice, stopAlone } from './support/replay-alone.ts';

vi.setConfig({ testTimeout: 60_000 });
afterEach(stopAlone);

test('slice after slice until the plan is executed; the run is closed, and told as a whole', async () => {
  const run = await alone(async (_, nth) => slice(nth * 5, nth === 2 ? 'executed' : 'slice'));
  const result = (await run.handle.result()) as ReplayResult;
  expect(result).toMatchObject({ outcome: 'executed', because: null, resolved: 10, letters: 10 });
  expect(run.names()).toEqual(['open', 'slice', 'slice', 'close executed']);
  expect(run.calls[1]).toMatchObject({ until: 'end', sliceMs: 60_000, batchSize: 500, shownHold: null });
  expect(await run.handle.query('status')).toMatchObject({ resolved: 10 });
  expect(await details(run)).toMatch(/\*\*executed\*\*[\s\S]*\| 10 \| 10 \| 0 \|/);
});

test.each([
  ['stopped', '3 letters failed, more than 2'],
  ['canary_passed', null],
] as const)('a slice that ends as %s ends the run so', async (ended, because) => {
  const run = await alone(async () => slice(1, ended, { because }), { input: { until: 'canary' } });
  expect(await run.handle.result()).toMatchObject({ outcome: ended, because });
  expect(run.names().at(-1)).toBe(`close ${ended}`);
  expect(run.calls[1]).toMatchObject({ until: 'canary' });
});

test('it continues as new with what it has counted, and opens once; the first run is the one the target knows', async () => {
  const run = await alone(async (_, nth) => slice(nth, nth === 5 ? 'executed' : 'slice'), {
    input: { slicesPerRun: 2, sliceMs: 1 },
  });
  expect(await run.handle.result()).toMatchObject({ outcome: 'executed' });
  expect(run.names()).toEqual(['open', ...Array(5).fill('slice'), 'close executed']);
  const { firstExecutionRunId } = run.handle;
  expect(run.calls.slice(1).map((call) => call.runId)).toEqual(Array(6).fill(firstExecutionRunId));
  const newest = run.client.workflow.getHandle(run.handle.workflowId);
  expect((await newest.describe()).runId).not.toBe(firstExecutionRunId);
  expect(await details({ handle: newest as Alone['handle'] })).toContain('continued as new 2 times');
});

test('a gate that holds it is shown, and the next slice is told what is shown', async () => {
  const shut = { heldBy: 'gate', heldBecause: 'master_gate_closed' };
  const second = blocked<ReplaySlice>();
  const run = await alone(async (_, nth) => {
    if (nth === 1) return slice(3, 'slice', shut);
    return nth === 2 ? second.held : slice(10, 'executed');
  });
  await waitFor(async () => (await details(run)).includes('**Held** by gate: master_gate_closed'));
  expect(run.calls.at(-1)).toMatchObject({ activity: 'slice', shownHold: 'gate: master_gate_closed' });
  second.let(slice(3, 'slice'));
  await run.handle.result();
  expect(run.calls.at(-2)).toMatchObject({ activity: 'slice', shownHold: null });
});

test('a slice that fails for good closes the run as failed, with its reason', async () => {
  const run = await alone(async () => {
    throw ApplicationFailure.nonRetryable('no such function', 'script_failed');
  });
  await expect(run.handle.result()).rejects.toMatchObject({
    cause: { type: 'script_failed', message: 'no such function' },
  });
  expect(run.names()).toEqual(['open', 'slice', 'close failed']);
  expect(run.calls.at(-1)).toMatchObject({ because: 'no such function' });
});

test('what policies allow is run plan by plan as children; one that breaks off keeps no other back', async () => {
  const hashes = ['1', '2'].map((digit) => digit.repeat(64));
  const run = await alone(async () => slice(10, 'executed'), {
    openReplay: async ({ planHash }) => {
      if (planHash === hashes[0]) throw ApplicationFailure.nonRetryable('the plan is stale', 'replay_stale');
      return { planHash: planHash ?? '', progress: { ...progress, planHash: planHash ?? '' } };
    },
    planByPolicy: async () => ({
      plans: hashes.map((planHash, place) => ({ policy: `p${place}`, planHash, letters: 10 })),
      passedOver: [{ policy: 'off', because: 'switched off' }],
    }),
  });
  expect(await run.handle.result()).toEqual({
    plans: [
      {
        policy: 'p0',
        planHash: hashes[0],
        outcome: 'failed',
        resolved: 0,
        failed: 0,
        because: expect.stringContaining('stale'),
      },
      { policy: 'p1', planHash: hashes[1], outcome: 'executed', resolved: 10, failed: 0, because: null },
    ],
    passedOver: [{ policy: 'off', because: 'switched off' }],
  });
  expect(await details(run)).toContain('`off` did nothing: switched off');
});
