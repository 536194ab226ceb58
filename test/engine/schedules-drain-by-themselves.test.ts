import type pg from 'pg';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { applySchedule } from '../../client/apply-schedule.ts';
import { readSchedule } from '../../client/read-schedule.ts';
import {
  deleteSchedule,
  pauseSchedule,
  resumeSchedule,
  triggerSchedule,
} from '../../client/steer-schedule.ts';
import { type ScheduleRequest, scheduleId } from '../../contracts/schedule.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, emit, settled } from '../sql-worker/support/worker.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { waitFor } from '../support/wait-for.ts';

vi.setConfig({ testTimeout: 90_000 });

let engine: TestEngine;
let blocker: pg.Client;
beforeAll(async () => {
  engine = await testEngine({ database: await installed(15, 'live') });
  blocker = await engine.database.connect();
});
afterEach(async () => {
  await blocker.query('rollback');
  await deleteSchedule(engine.client, engine.target, 'drain').catch(() => undefined);
  await waitFor(async () => {
    const open = engine.client.workflow.list({
      query: `SluiceTarget = '${engine.target}' and ExecutionStatus = 'Running'`,
    });
    for await (const _ of open) return false;
    return true;
  });
});
afterAll(() => engine.close());

const asked = (more: Partial<ScheduleRequest> = {}): ScheduleRequest => ({
  target: engine.target,
  everyMs: 3_600_000,
  jitterMs: 0,
  taskQueue: engine.taskQueue,
  actor: 'ana',
  reason: 'a test',
  start: {
    name: 'drain',
    input: {
      target: engine.target,
      cursorCode: 'iu_outbound_default',
      batchSize: 500,
      forMs: 0,
      idleMs: 50,
    },
  },
  ...more,
});
const read = async () => {
  const view = await readSchedule(engine.client, engine.target, 'drain');
  if (view === null) throw new Error('there is no schedule');
  return view;
};
const apply = (more: Partial<ScheduleRequest> = {}) => applySchedule(engine.client, asked(more));

/** Keeps every run from recording its attempts until the next `rollback`. */
const block = () => blocker.query('begin; lock table iu_route_attempt in share mode');

test('applying creates, changes nothing the second time, and updates exactly what differs', async () => {
  expect(await applySchedule(engine.client, asked(), { dryRun: true })).toEqual({
    applied: 'created',
    differences: [],
  });
  expect(await readSchedule(engine.client, engine.target, 'drain')).toBeNull();
  expect(await apply()).toEqual({ applied: 'created', differences: [] });
  expect(await read()).toMatchObject({
    id: scheduleId(engine.target, 'drain'),
    everyMs: 3_600_000,
    overlap: 'SKIP',
    catchupMs: 30_000,
    paused: false,
    workflowType: 'drain',
    input: asked().start.input,
    actions: { taken: 0, skippedOverlap: 0, missedCatchup: 0 },
  });
  expect(await apply()).toEqual({ applied: 'unchanged', differences: [] });
  expect(await apply({ reason: 'another reason' })).toEqual({ applied: 'unchanged', differences: [] });
  expect(await apply({ everyMs: 7_200_000, jitterMs: 2_000 })).toEqual({
    applied: 'updated',
    differences: ['intervals', 'jitter'],
  });
  expect(await read()).toMatchObject({ everyMs: 7_200_000, jitterMs: 2_000 });
  expect((await read()).next.length).toBeGreaterThan(0);
});

test('what somebody else changed by hand is put right, and the difference is named', async () => {
  await apply();
  const handle = engine.client.schedule.getHandle(scheduleId(engine.target, 'drain'));
  await handle.update((previous) => ({
    ...previous,
    policies: { overlap: 'ALLOW_ALL', catchupWindow: '1 year' },
  }));
  expect(await apply()).toEqual({ applied: 'updated', differences: ['overlap', 'catchupWindow'] });
  expect(await read()).toMatchObject({ overlap: 'SKIP', catchupMs: 30_000 });
});

test('a paused schedule starts nothing, keeps its note when it is applied again, and resumes', async () => {
  await apply({ everyMs: 1_000 });
  await waitFor(async () => (await read()).actions.taken > 0);
  await pauseSchedule(engine.client, engine.target, 'drain', 'paused by bo: maintenance');
  expect(await apply({ everyMs: 2_000 })).toMatchObject({ applied: 'updated' });
  expect(await read()).toMatchObject({ paused: true, note: 'paused by bo: maintenance', everyMs: 2_000 });
  await emit(engine.sql);
  await settled(engine.sql);
  const { taken } = (await read()).actions;
  await resumeSchedule(engine.client, engine.target, 'drain', 'resumed by bo: done');
  await waitFor(async () => (await read()).actions.taken > taken);
  expect(await read()).toMatchObject({ paused: false, note: 'resumed by bo: done' });
  await waitFor(() => ask<boolean>(engine.sql, 'select count(*) = 1 as answer from iu_route_attempt'));
});

test('a start while a drain is still running is skipped and counted, and the events are drained by the one', async () => {
  await emit(engine.sql);
  await settled(engine.sql);
  const before = await ask<number>(engine.sql, 'select count(*)::integer as answer from iu_route_attempt');
  await block();
  await apply({ everyMs: 1_000 });
  const blocked = await waitFor(async () => {
    const view = await read();
    return view.actions.skippedOverlap >= 2 ? view : null;
  });
  expect(blocked.running).toHaveLength(1);
  expect(blocked.actions.taken).toBe(1);
  await blocker.query('rollback');
  await waitFor(async () => (await read()).actions.taken > 1);
  const { rows } = await engine.sql.query('select count(*)::integer as count from iu_route_attempt');
  expect(rows[0]?.count).toBe(before + 1);
});

test('a trigger starts a run of a paused schedule too, and none beside one that runs', async () => {
  await apply();
  await pauseSchedule(engine.client, engine.target, 'drain', 'paused by bo: a test');
  await emit(engine.sql);
  await settled(engine.sql);
  await block();
  const first = await triggerSchedule(engine.client, engine.target, 'drain');
  expect(first.answer).toBe('started');
  expect(await triggerSchedule(engine.client, engine.target, 'drain')).toEqual({
    answer: 'skipped',
    run: null,
  });
  await blocker.query('rollback');
  const { workflowId } = first.run ?? { workflowId: '' };
  const handle = engine.client.workflow.getHandle(workflowId);
  expect(await handle.result()).toMatchObject({ events: 1, status: 'ran' });
  const found = await handle.describe();
  expect(found.memo).toEqual({ schedule: scheduleId(engine.target, 'drain') });
  const attributes = found.typedSearchAttributes.getAll().map(({ key, value }) => [key.name, value]);
  expect(attributes).toContainEqual(['SluiceTarget', engine.target]);
});

test('a schedule that is not there is told in words', async () => {
  const refused = { code: 'schedule_not_found', text: { safe: 'Nothing was changed.' } };
  const { client, target } = engine;
  await expect(pauseSchedule(client, target, 'drain', 'x')).rejects.toMatchObject(refused);
  await expect(resumeSchedule(client, target, 'drain', 'x')).rejects.toMatchObject(refused);
  await expect(triggerSchedule(client, target, 'drain')).rejects.toMatchObject(refused);
  await expect(deleteSchedule(client, target, 'drain')).rejects.toMatchObject(refused);
});
