import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { untilStatus } from '../support/engine-facts.ts';
import { type Documents, documents } from './support/documents.ts';
import { configuration, counts, fingerprint, verifiedEvidence } from './support/iu-facts.ts';
import { follow, runShipped, startShipped } from './support/shipped-macros.ts';

let engine: TestEngine;
let library: Documents;
beforeAll(async () => {
  [engine, library] = await Promise.all([testEngine(), documents()]);
});
afterEach(() => engine.abandon());
afterAll(async () => {
  await engine.close();
  await library.remove();
});

const roles = async () =>
  (await engine.sql.query(`select from pg_roles where rolname like 'iu\\_core\\_%'`)).rowCount;
const undo = async (runId: string | null) => engine.outcome(await engine.undo(runId ?? ''));

/** Everything a rollback has to restore: definitions and configuration. */
const state = async () => ({
  fingerprint: await fingerprint(engine),
  configuration: await configuration(engine),
});

// One story on one database: each test goes on where the one before it ended.

test('the base is taken back while nothing was imported: the database is as before', async () => {
  const before = await fingerprint(engine);
  const rolesBefore = await roles();
  const base = await runShipped(engine, 'iu-core-base');
  expect(base.outcome).toBe('succeeded');
  expect(await fingerprint(engine)).not.toBe(before);
  const undone = await undo(base.runId);
  expect([undone.outcome, undone.leftToDo]).toEqual(['rolled_back', []]);
  expect(await fingerprint(engine)).toBe(before);
  expect(await roles()).toBe(rolesBefore);
  const evidence = await verifiedEvidence(engine, base.runId);
  expect(evidence.run.outcome).toBe('succeeded');
  expect(evidence.takenBackBy.map((run) => run.outcome)).toEqual(['rolled_back']);
});

test('an installed worker is taken back after it succeeded; the base below it refuses until then', async () => {
  const base = await runShipped(engine, 'iu-core-base');
  await library.edit(engine.sql);
  const before = await state();
  const install = await runShipped(engine, 'event-worker');
  expect(install.outcome).toBe('succeeded');
  const refused = await engine
    .outcome(await engine.undo(base.runId ?? ''))
    .catch((error) => error.cause?.cause);
  expect(refused).toMatchObject({
    type: 'target_conflict',
    message: expect.stringMatching(/Later runs stand on run/),
  });
  expect((await undo(install.runId)).outcome).toBe('rolled_back');
  expect(await state()).toEqual(before);
});

test('a live dry run that is cancelled while it observes closes the gate again; attempts stay, they are history', async () => {
  expect((await runShipped(engine, 'event-worker')).outcome).toBe('succeeded');
  const before = await state();
  const handle = await startShipped(engine, 'worker-live-dry-run', { 'observe.window': '60s' });
  const status = await follow(handle, {
    onObserve: async () => {
      await library.edit(engine.sql);
      await handle.cancel();
    },
  });
  expect(status).toMatchObject({ outcome: 'rolled_back', cause: 'cancelled' });
  expect(status.steps.find((step) => step.id === 'open-gate')?.state).toBe('undone');
  expect(await state()).toEqual(before);
  expect(before.configuration['iu_core.route_worker_enabled']).toBe('false');
  const evidence = await verifiedEvidence(engine, status.runId);
  expect(evidence.run).toMatchObject({ outcome: 'rolled_back' });
  expect((await handle.describe()).status.name).toBe('CANCELLED');
});

test('a run that was terminated while it observes is taken back by its receipts', async () => {
  const before = await state();
  const handle = await startShipped(engine, 'worker-live-dry-run', { 'observe.window': '60s' });
  const watched = follow(handle).catch(() => undefined);
  const { runId } = await untilStatus(
    handle,
    ({ steps }) => steps.find((step) => step.kind === 'observe')?.state === 'running',
  );
  expect((await configuration(engine))['iu_core.route_worker_enabled']).toBe('true');
  await handle.terminate('pressed in a hurry');
  await watched;
  expect((await configuration(engine))['iu_core.route_worker_enabled']).toBe('true');
  expect((await undo(runId)).outcome).toBe('rolled_back');
  expect(await state()).toEqual(before);
  const evidence = await verifiedEvidence(engine, runId);
  expect(evidence.run.outcome).toBe('needs_action');
  expect(evidence.takenBackBy.map((run) => run.outcome)).toEqual(['rolled_back']);
});

test('a worker with history refuses to be removed: the gates are closed instead, and nothing is deleted', async () => {
  const live = await runShipped(engine, 'worker-live-dry-run', { onObserve: () => library.edit(engine.sql) });
  expect([live.outcome, live.cause]).toEqual(['succeeded', '']);
  const install = await engine.sql.query<{ run_id: string }>(
    `select run_id from sluice.run where macro = 'event-worker' and outcome = 'succeeded' order by run_no desc limit 1`,
  );
  expect((await undo(live.runId)).outcome).toBe('rolled_back');
  const history = await counts(engine);
  expect(history.attempts).toBeGreaterThan(0);
  const undone = await undo(install.rows[0]?.run_id ?? '');
  expect(undone.outcome).toBe('disabled');
  expect(undone.leftToDo.map((left) => left.stepId)).toEqual(['register-060', 'install-009', 'install-008']);
  expect(await counts(engine)).toEqual(history);
  expect(await configuration(engine)).toMatchObject({
    'iu_core.outbound_enabled': 'false',
    'iu_core.route_worker_enabled': 'false',
  });
  expect((await verifiedEvidence(engine, undone.runId)).run.outcome).toBe('disabled');
});
