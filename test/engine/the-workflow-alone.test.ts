import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { afterEach, expect, test } from 'vitest';
import { awaitOutcome } from '../../client/await-outcome.ts';
import type { MacroActivities } from '../../contracts/macro-activities.ts';
import type { StepResult } from '../../contracts/macro-run.ts';
import type { Plan, PlannedStep } from '../../contracts/plan.ts';
import { change, noBackup } from '../support/engine.ts';
import { send, untilStep } from '../support/engine-facts.ts';
import { ownTaskQueue, temporalAddress } from '../support/temporal-address.ts';
import { workflowBundle } from '../support/workflow-bundle.ts';

const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

const step = (id: string): PlannedStep =>
  change(id, [{ do: { path: `${id}.sql`, sha256: id }, undo: { path: `undo-${id}.sql`, sha256: id } }]);
const plan = (steps: readonly PlannedStep[]): Plan => ({
  format: 1,
  macro: 'alone',
  title: 'A macro without a database',
  target: 'alone',
  schema: 'public',
  lifts: [],
  steps,
  disable: [],
  next: null,
});
const passed: StepResult = { verdict: 'pass', state: 'done', detail: 'fine', checks: [], attempts: 1 };

/** The workflow on a real server, its activities replaced; `calls` tells their order. */
async function alone(steps: readonly PlannedStep[], replaced: Partial<MacroActivities>) {
  const calls: string[] = [];
  const noted =
    <I extends object, O>(name: string, answer: (input: I) => Promise<O>) =>
    async (input: I): Promise<O> => {
      calls.push('stepId' in input && typeof input.stepId === 'string' ? `${name} ${input.stepId}` : name);
      return answer(input);
    };
  const given: Partial<MacroActivities> = {
    openRun: async () => ({ runId: 'run-1', runNo: 1, plan: plan(steps), fingerprint: 'f' }),
    takeBackup: noted('takeBackup', replaced.takeBackup ?? (async () => passed)),
    applyChange: noted('applyChange', replaced.applyChange ?? (async () => passed)),
    undoChange: noted('undoChange', replaced.undoChange ?? (async () => ({ state: 'undone', detail: '' }))),
    recordControl: noted('recordControl', replaced.recordControl ?? (async () => undefined)),
    closeRun: noted('closeRun', replaced.closeRun ?? (async () => undefined)),
  };
  const taskQueue = ownTaskQueue('alone');
  const native = await NativeConnection.connect({ address: temporalAddress() });
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    activities: given,
    workflowBundle: await workflowBundle(),
  });
  const running = worker.run();
  const connection = await Connection.connect({ address: temporalAddress() });
  ends.push(async () => {
    worker.shutdown();
    await running;
    await native.close();
    await connection.close();
  });
  const handle = await new Client({ connection }).workflow.start('macro', {
    workflowId: `macro/${taskQueue}`,
    taskQueue,
    args: [{ target: taskQueue, planHash: 'p', actor: 'ana', reason: 'a test' }],
  });
  return { handle, calls };
}

/** A step that goes on until it is let, and hears no cancellation. */
function deaf() {
  let let_ = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    let_ = resolve;
  });
  return { let: () => let_(), run: () => held.then(() => passed) };
}

test.each(['cancel', 'rollback'])(
  'a last step that comes through although the run was asked to turn back (%s) is undone',
  async (asked) => {
    const last = deaf();
    const { handle, calls } = await alone([noBackup(), step('one')], { applyChange: last.run });
    await untilStep(handle, 'one', 'running');
    if (asked === 'cancel') await handle.cancel();
    else await send(handle, 'rollback');
    last.let();
    expect(await awaitOutcome(handle)).toMatchObject({ outcome: 'rolled_back' });
    expect(calls).toEqual([
      'takeBackup backup',
      'applyChange one',
      'recordControl',
      'undoChange one',
      'closeRun',
    ]);
  },
);

test('the undo is registered before its step: a step that never answers well is undone too', async () => {
  const { handle, calls } = await alone([noBackup(), step('one'), step('two')], {
    applyChange: async ({ stepId }) => (stepId === 'two' ? { ...passed, verdict: 'fail' } : passed),
  });
  expect(await awaitOutcome(handle)).toMatchObject({
    outcome: 'rolled_back',
    cause: expect.stringContaining('Step two: fail'),
  });
  expect(calls.slice(-3)).toEqual(['undoChange two', 'undoChange one', 'closeRun']);
});

test('a cancellation that comes during the compensation does not stop it', async () => {
  const slow = deaf();
  const { handle, calls } = await alone([noBackup(), step('one'), step('two')], {
    applyChange: async ({ stepId }) => (stepId === 'two' ? { ...passed, verdict: 'fail' } : passed),
    undoChange: async ({ stepId }) => {
      if (stepId === 'two') await slow.run();
      return { state: 'undone', detail: '' };
    },
  });
  await untilStep(handle, 'two', 'undoing');
  await handle.cancel();
  slow.let();
  expect(await awaitOutcome(handle)).toMatchObject({
    outcome: 'rolled_back',
    cause: expect.stringContaining('Step two: fail'),
  });
  expect(calls.slice(-2)).toEqual(['undoChange one', 'closeRun']);
});
