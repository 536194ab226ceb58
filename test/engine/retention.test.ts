import { randomUUID } from 'node:crypto';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { ActivityDependencies } from '../../activities/dependencies.ts';
import { retirePartition } from '../../activities/retire-partition.ts';
import type { RetentionInput, RetentionResult } from '../../contracts/retention.ts';
import { closeKeptSessions } from '../../target/reuse-session.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, emit, runWorker } from '../sql-worker/support/worker.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { untilExecutes } from '../support/engine-facts.ts';

vi.setConfig({ testTimeout: 60_000 });

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ database: await installed(15, 'live') });
});
beforeEach(() => setGate(false));
afterAll(() => engine.close());

const setGate = (isOpen: boolean) =>
  engine.sql.query(`update dot_config set value = $1 where key = 'iu_core.retention_enabled'`, [
    String(isOpen),
  ]);

/** A day's partition of long ago with so many events; answers its name. */
async function oldPartition(daysAgo: number, events: number): Promise<string> {
  await engine.sql.query('set role iu_core_owner');
  const name = await ask<string>(
    engine.sql,
    `select fn_iu_retention_attach(
       date_trunc('day', now()) - make_interval(days => $1 - 1), date_trunc('day', now()) - make_interval(days => $1)) as answer`,
    [daysAgo],
  );
  await engine.sql.query('reset role');
  for (let n = 1; n <= events; n += 1) {
    await engine.sql.query(
      `insert into event_outbox (id, event_domain, event_type, event_subject, payload, actor)
       values (fn_iu_uuid_v7_at(date_trunc('day', now()) - make_interval(days => $1) + $2 * interval '1 s'),
         'iu', 'version_applied', 'docs/a.md#b', '{}', 'a test')`,
      [daysAgo, n],
    );
  }
  return name;
}

async function retain(input: Partial<RetentionInput> = {}): Promise<RetentionResult> {
  return (await start(input)).result();
}

function start(input: Partial<RetentionInput> = {}) {
  return engine.client.workflow.start<(input: RetentionInput) => Promise<RetentionResult>>('retention', {
    workflowId: `retention/${engine.target}/${randomUUID()}`,
    taskQueue: engine.taskQueue,
    args: [{ target: engine.target, apply: false, actor: 'ana', reason: 'a test', ...input }],
  });
}

const isThere = (partition: string) =>
  ask<boolean>(engine.sql, 'select to_regclass($1) is not null as answer', [partition]);
const isBalanced = () =>
  ask<boolean>(engine.sql, `select (fn_iu_conservation() ->> 'balanced')::boolean as answer`);
const because = ({ kept }: RetentionResult, partition: string) =>
  kept.find((one) => one.partition === partition)?.because;

test('a dry run makes the partitions of the coming time, says what would leave, and drops nothing', async () => {
  const oldest = await oldPartition(50, 3);
  const old = await oldPartition(49, 2);
  await setGate(true);
  const undecided = await retain();
  expect(undecided.created.length).toBeGreaterThan(1);
  expect(because(undecided, oldest)).toMatch(/cursor iu_outbound_default has not passed it/);
  await runWorker(engine.sql);
  const handle = await start();
  const result = await handle.result();
  expect(result).toMatchObject({
    applied: false,
    enabled: true,
    created: [],
    dropped: [],
    notPrepared: null,
  });
  expect([because(result, oldest), because(result, old)]).toEqual(['dry run', 'dry run']);
  expect(result.kept.at(-1)?.because).toMatch(/kept for 30 days/);
  const { currentDetails } = await handle.query<{ currentDetails: string }>('__temporal_workflow_metadata');
  expect(currentDetails).toMatch(/Dry run of the retention/);
  expect(currentDetails).toContain(`| ${oldest} | 3 | 3 | stays: dry run |`);
  expect(await isThere(oldest)).toBe(true);
});

test('it drops nothing while the gate is closed', async () => {
  const result = await retain({ apply: true });
  expect(result).toMatchObject({ applied: true, enabled: false, dropped: [] });
  expect(result.kept[0]?.because).toMatch(/the gate iu_core.retention_enabled is closed/);
});

test('a partition that somebody reads stays with all younger ones, and no writer waits behind the drop for long', async () => {
  await setGate(true);
  const reader = await engine.database.connect();
  await reader.query('begin; select count(*) from event_outbox');
  const running = retain({ apply: true, lockTimeoutMs: 200 });
  running.catch(() => undefined);
  await untilExecutes(engine, 'fn_iu_retention_drop');
  await emit(engine.sql);
  await emit(engine.sql);
  const held = await running;
  expect(held.dropped).toEqual([]);
  expect(held.kept[0]?.because).toMatch(/lock timeout/);
  expect(held.kept[1]?.because).toBe('an older partition stays');
  await reader.query('rollback');
  await reader.end();
  expect(await isBalanced()).toBe(true);
});

test('applied behind an open gate, what may leave does, once, and its figures stay in the books', async () => {
  await setGate(true);
  const result = await retain({ apply: true });
  expect(result.dropped.map(({ events, attempts }) => [events, attempts])).toEqual([
    [3, 3],
    [2, 2],
  ]);
  for (const { partition } of result.dropped) expect(await isThere(partition)).toBe(false);
  const { rows } = await engine.sql.query(
    `select retired_by, retired_because from iu_outbox_partition where retired_at is not null`,
  );
  expect(rows).toEqual([
    { retired_by: 'ana', retired_because: 'a test' },
    { retired_by: 'ana', retired_because: 'a test' },
  ]);
  expect((await retain({ apply: true })).dropped).toEqual([]);
  await runWorker(engine.sql);
  expect(await isBalanced()).toBe(true);

  // The worker was lost after the COMMIT: the next attempt is told what left.
  const openTarget: ActivityDependencies['openTarget'] = async () => engine.access;
  const again = retirePartition({ openTarget } as ActivityDependencies);
  const { target } = engine;
  const given = { target, actor: 'ana', reason: 'a test', lockTimeoutMs: 200 };
  const [first] = result.dropped;
  const attempt = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  expect(await attempt.run(again, { ...given, partition: first?.partition ?? '' })).toEqual(first);
  await expect(attempt.run(again, { ...given, partition: 'event_outbox_default' })).rejects.toMatchObject({
    type: 'script_failed',
    message: expect.stringMatching(/may not leave/),
  });
  await closeKeptSessions();
});
