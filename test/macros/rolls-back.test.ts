import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sessionName } from '../../activities/perform-step.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { receipts, statusOf, untilStep } from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';
import { documents } from './support/documents.ts';
import { installedEngine, installedTemplate } from './support/installed.ts';
import { configuration, counts, fingerprint, verifiedEvidence } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { follow, runShipped, startShipped } from './support/shipped-macros.ts';
import { untilBlocks, untilQueued } from './support/until-blocks.ts';

let server: OwnServer;
/** Of the base alone, with six units; and with the worker registered inert. */
let based: string;
let inert: string;
beforeAll(async () => {
  server = await ownServer();
  based = await installedTemplate(server, ['iu-core-base']);
  inert = await installedTemplate(server, ['event-worker'], based);
});
afterAll(() => server.stop());

const worker = async (sql: pg.Client) =>
  (
    await sql.query<{ run: { status: string } }>(
      `select fn_iu_route_worker_run('iu_outbound_default', 10) as run`,
    )
  ).rows[0]?.run.status;
const undo = async (engine: TestEngine, runId: string | null) =>
  engine.outcome(await engine.undo(runId ?? ''));
const succeeds = async (...given: Parameters<typeof runShipped>) => {
  const status = await runShipped(...given);
  expect([status.outcome, status.cause]).toEqual(['succeeded', '']);
  return status;
};
const changes = async (engine: TestEngine, runId: string | null) =>
  (await verifiedEvidence(engine, runId)).steps
    .filter((step) => step.effect !== null)
    .map((step) => `${step.id} ${step.state} ${step.undo} ${step.effect}`);
const sessionsOf = async (engine: TestEngine, step: Parameters<typeof sessionName>[0]) =>
  (await engine.sql.query('select from pg_stat_activity where application_name = $1', [sessionName(step)]))
    .rowCount;
const LONG = { timeout: 180_000 };

test(
  'worker-live-dry-run cancelled in its observe window: gate and configuration are as before; attempts and cursor stay, as history',
  LONG,
  async () => {
    const engine = await installedEngine(server, inert);
    const before = { print: await fingerprint(engine), config: await configuration(engine) };
    expect(before.config['iu_core.route_worker_enabled']).toBe('false');
    const handle = await startShipped(engine, 'worker-live-dry-run', { 'observe.window': '60s' });
    const status = await follow(handle, {
      async onObserve() {
        await engine.edit();
        await waitFor(async () => (await counts(engine)).attempts === 6);
        expect((await configuration(engine))['iu_core.route_worker_enabled']).toBe('true');
        await handle.cancel();
      },
    });
    expect([status.outcome, status.cause]).toEqual(['rolled_back', 'cancelled']);
    expect({ print: await fingerprint(engine), config: await configuration(engine) }).toEqual(before);
    expect(await counts(engine)).toMatchObject({
      events: 6,
      attempts: 6,
      dryRuns: 6,
      deadLetters: 0,
      markers: 0,
    });
    await engine.edit();
    expect(await worker(engine.sql)).toBe('worker_gate_closed');
    expect(await counts(engine)).toMatchObject({ events: 12, attempts: 6 });

    const evidence = await verifiedEvidence(engine, status.runId);
    expect(evidence.run).toMatchObject({ outcome: 'rolled_back', fingerprint: { equal: true } });
    expect(evidence.controls.map(({ action }) => action)).toEqual(['approve', 'cancel']);
    expect(await changes(engine, status.runId)).toEqual(['open-gate done undone taken_back']);
    expect(evidence.atCollection.conservation?.verdict).toBe('pass');
    await engine.close();
  },
);

test(
  'event-worker rolled back a day later, when Temporal has forgotten it: every definition is as before',
  LONG,
  async () => {
    const engine = await installedEngine(server, based);
    const before = { print: await fingerprint(engine), config: await configuration(engine) };
    const handle = await startShipped(engine, 'event-worker');
    const { runId, outcome } = await follow(handle);
    expect(outcome).toBe('succeeded');
    expect(await fingerprint(engine)).not.toBe(before.print);
    await engine.client.workflowService.deleteWorkflowExecution({
      namespace: 'default',
      workflowExecution: { workflowId: handle.workflowId },
    });
    await waitFor(async () => (await handle.describe().catch(() => 'gone')) === 'gone', 90_000);

    const undone = await undo(engine, runId);
    expect(undone.outcome).toBe('rolled_back');
    expect({ print: await fingerprint(engine), config: await configuration(engine) }).toEqual(before);
    const evidence = await verifiedEvidence(engine, runId);
    expect(evidence.run.outcome).toBe('succeeded');
    expect(evidence.takenBackBy.map((run) => [run.runId, run.outcome, run.actor.claimed])).toEqual([
      [undone.runId, 'rolled_back', 'bo'],
    ]);
    expect(await changes(engine, runId)).toEqual([
      'install-008 done undone taken_back',
      'install-009 done undone taken_back',
      'register-060 done undone taken_back',
    ]);
    expect((await verifiedEvidence(engine, undone.runId)).takesBack?.runId).toBe(runId);
    await succeeds(engine, 'event-worker');
    await engine.close();
  },
);

test(
  'event-worker is not rolled back under a later run; and with history it refuses and is disabled, nothing deleted',
  LONG,
  async () => {
    const engine = await installedEngine(server, based);
    const install = await succeeds(engine, 'event-worker');
    const live = await succeeds(engine, 'worker-live-dry-run', { onObserve: engine.edit });
    const before = { print: await fingerprint(engine), counts: await counts(engine) };
    await expect(undo(engine, install.runId)).rejects.toMatchObject({
      cause: {
        cause: {
          type: 'target_conflict',
          message: expect.stringMatching(
            /Later runs stand on run 2: 3 \(worker-live-dry-run\).*Nothing was changed/,
          ),
        },
      },
    });
    expect(await configuration(engine)).toMatchObject({ 'iu_core.route_worker_enabled': 'true' });

    expect((await undo(engine, live.runId)).outcome).toBe('rolled_back');
    const undone = await undo(engine, install.runId);
    expect(undone.outcome).toBe('disabled');
    expect(undone.leftToDo.map(({ stepId }) => stepId)).toEqual([
      'register-060',
      'install-009',
      'install-008',
    ]);
    expect(await configuration(engine)).toMatchObject({
      'iu_core.route_worker_enabled': 'false',
      'iu_core.outbound_enabled': 'false',
    });
    const routes = await engine.sql.query('select from iu_outbound_route where enabled');
    expect(routes.rowCount).toBe(0);
    await engine.edit();
    expect(await worker(engine.sql)).toBe('master_gate_closed');
    expect(await counts(engine)).toEqual({ ...before.counts, versions: before.counts.versions + 6 });

    const evidence = await verifiedEvidence(engine, install.runId);
    expect(evidence.disable.map(({ id, state }) => `${id} ${state}`)).toEqual(
      ['l0', 'l1', 'l0-wait', 'l2', 'l3'].map((id) => expect.stringMatching(new RegExp(`${id} done`))),
    );
    expect(evidence.takenBackBy.map((run) => run.outcome)).toEqual(['disabled']);
    expect(await changes(engine, install.runId)).toEqual([
      'install-008 done null in_effect',
      'install-009 done null in_effect',
      'register-060 done refused in_effect',
    ]);
    await engine.close();
  },
);

test(
  'event-worker terminated in the middle of a step is rolled back, and the step cannot commit any more',
  LONG,
  async () => {
    const engine = await installedEngine(server, based, { lockTimeoutMs: 20_000 });
    const { connect } = engine.database;
    const [doorman, holder] = await Promise.all([connect(), connect()]);
    const before = { print: await fingerprint(engine), config: await configuration(engine) };
    const lock = 'begin; lock table dot_config in share mode';
    await doorman.query(lock);
    const handle = await startShipped(engine, 'event-worker');
    await untilBlocks(engine.sql, doorman);
    // 008 waits for the doorman, the holder behind 008: what comes after it meets the holder.
    const held = holder.query(lock);
    await untilQueued(engine.sql, holder);
    await doorman.query('rollback');
    await held;
    const { runId } = await statusOf(handle);
    const step = { runId: runId ?? '', stepId: 'register-060' };
    expect(await untilBlocks(engine.sql, holder)).toBe(sessionName(step));
    await handle.terminate('a test');

    const undoing = await engine.undo(step.runId);
    const closed = 'register-060/sql/iu-core/runtime/060_route_worker_register_inert.sql undo voided';
    await waitFor(async () => (await receipts(engine, runId)).includes(closed), 60_000);
    await holder.query('rollback');
    expect((await engine.outcome(undoing)).outcome).toBe('rolled_back');
    expect({ print: await fingerprint(engine), config: await configuration(engine) }).toEqual(before);
    await waitFor(async () => (await sessionsOf(engine, step)) === 0);
    expect({ print: await fingerprint(engine), config: await configuration(engine) }).toEqual(before);

    const evidence = await verifiedEvidence(engine, runId);
    expect(evidence.run).toMatchObject({
      outcome: 'needs_action',
      cause: expect.stringMatching(/terminated/),
    });
    expect(evidence.takenBackBy.map((run) => run.outcome)).toEqual(['rolled_back']);
    expect(await changes(engine, runId)).toEqual([
      'install-008 done undone taken_back',
      'install-009 done undone taken_back',
      // The attempt came too late, or was told of the end before that.
      expect.stringMatching(/^register-060 (failed|stopped) voided none$/),
    ]);
    await succeeds(engine, 'event-worker');
    await engine.close();
  },
);

test(
  'worker-live-dry-run terminated in its observe window leaves the gate open, and is rolled back by its receipts',
  LONG,
  async () => {
    const engine = await installedEngine(server, inert);
    const before = { print: await fingerprint(engine), config: await configuration(engine) };
    const handle = await startShipped(engine, 'worker-live-dry-run', { 'observe.window': '60s' });
    const ended = follow(handle, { onObserve: () => handle.terminate('a test') }).catch(() => 'terminated');
    const { runId } = await untilStep(handle, 'observe', 'running', 60_000);
    expect(await ended).toBe('terminated');
    expect(await configuration(engine)).toMatchObject({ 'iu_core.route_worker_enabled': 'true' });
    expect((await undo(engine, runId)).outcome).toBe('rolled_back');
    expect({ print: await fingerprint(engine), config: await configuration(engine) }).toEqual(before);
    const evidence = await verifiedEvidence(engine, runId);
    expect(evidence.run.outcome).toBe('needs_action');
    expect(evidence.takenBackBy.map((run) => run.outcome)).toEqual(['rolled_back']);
    expect(await changes(engine, runId)).toEqual(['open-gate done undone taken_back']);
    await engine.close();
  },
);

test(
  'iu-core-base taken back where nothing was imported: every definition is as before, the roles are gone',
  LONG,
  async () => {
    const alone = await ownServer();
    const engine = await testEngine({ database: await alone.create() });
    const before = await fingerprint(engine);
    expect(await alone.roles()).toEqual([]);
    const { runId } = await succeeds(engine, 'iu-core-base');
    expect(await alone.roles()).toHaveLength(5);
    expect((await undo(engine, runId)).outcome).toBe('rolled_back');
    expect(await fingerprint(engine)).toBe(before);
    expect(await alone.roles()).toEqual([]);
    expect((await changes(engine, runId)).map((line) => line.replace(/^\S+ /, ''))).toEqual(
      Array.from({ length: 8 }, () => 'done undone taken_back'),
    );
    await engine.close();
    await alone.stop();
  },
);

test(
  'iu-core-base is not taken back over imported units: what holds them stays, and a new run completes it',
  LONG,
  async () => {
    const engine = await testEngine({ database: await server.create() });
    const library = await documents();
    const { runId } = await succeeds(engine, 'iu-core-base');
    await library.edit(engine.sql);
    const before = await fingerprint(engine);
    const undone = await undo(engine, runId);
    expect(undone.outcome).toBe('disabled');
    expect(await configuration(engine)).toMatchObject({ 'iu_core.outbound_enabled': 'false' });
    expect((await engine.sql.query('select from unit_version')).rowCount).toBe(6);
    expect((await changes(engine, runId)).slice(-3)).toEqual([
      'install-005 done refused in_effect',
      'install-006 done undone taken_back',
      'install-007 done undone taken_back',
    ]);
    const again = await succeeds(engine, 'iu-core-base');
    expect(again.steps.filter(({ kind }) => kind === 'migrate').map(({ state }) => state)).toEqual([
      ...Array.from({ length: 6 }, () => 'already_applied'),
      'done',
      'done',
    ]);
    expect(await fingerprint(engine)).toBe(before);
    await library.remove();
    await engine.close();
  },
);
