import { join } from 'node:path';
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import type { Plan, PlannedStep } from '../../contracts/plan.ts';
import { buildPlan } from '../../planning/build-plan.ts';
import { installEngine } from '../../target/install-engine.ts';
import { createDatabase } from '../support/create-database.ts';
import { BASE_FILES, UNIT_FILES } from './support/installed.ts';
import { applyFile, type CheckRow, ROOT, readAfter, readChecks, tryProbe } from './support/run-file.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

async function planOf(macro: string): Promise<Plan> {
  const manifestPath = join(ROOT, 'macros', macro, 'macro.yaml');
  const { plan } = await buildPlan({ manifestPath, target: 'demo', schema: 'public' });
  return plan;
}

/** What a step did: `pass`, `applied`, `already_applied`, or the checks that do not pass. */
async function play(client: pg.Client, step: PlannedStep): Promise<string> {
  if (step.kind === 'check' || step.kind === 'verify' || step.kind === 'probe') {
    const checks: CheckRow[] = [];
    for (const { path } of step.scripts) {
      if (step.kind !== 'probe') checks.push(...(await readChecks(client, path)));
      else {
        const tried = await tryProbe(client, path);
        checks.push(...tried.checks);
        for (const proof of step.after) checks.push(...(await readAfter(client, proof.path, tried.xid)));
      }
    }
    const bad = checks.filter((row) => row.verdict !== 'pass');
    return checks.length > 0 && bad.length === 0 ? 'pass' : JSON.stringify(bad);
  }
  if (step.kind === 'migrate' || step.kind === 'enable') {
    const holds = step.holds === null ? [] : await readChecks(client, step.holds.path);
    if (holds.length > 0 && holds.every((row) => row.verdict === 'pass')) return 'already_applied';
    for (const file of step.files) await applyFile(client, file.do.path);
    const after = step.holds === null ? [] : await readChecks(client, step.holds.path);
    return after.every((row) => row.verdict === 'pass') ? 'applied' : JSON.stringify(after);
  }
  return 'not played';
}

const playAll = async (client: pg.Client, plan: Plan) => {
  const seen: string[] = [];
  for (const step of plan.steps) seen.push(`${step.id}: ${await play(client, step)}`);
  return seen;
};

const undoAll = async (client: pg.Client, plan: Plan) => {
  for (const step of plan.steps.toReversed()) {
    if (step.kind !== 'migrate' && step.kind !== 'enable') continue;
    for (const file of step.files.toReversed())
      if (file.undo !== null) await applyFile(client, file.undo.path);
  }
};

const INSTALLS = (state: string) => [
  'mandatory-gates: pass',
  'backup: not played',
  `install-008: ${state}`,
  `install-009: ${state}`,
  `register-060: ${state}`,
  'probe: pass',
  'verify: pass',
];
const GOES_LIVE = (state: string) => [
  'mandatory-gates: pass',
  'backup: not played',
  'approval: not played',
  `open-gate: ${state}`,
  'verify-live: pass',
  'probe: pass',
  'observe: not played',
  'verify: pass',
];

describe.each([15, 18] as const)('the macros on PostgreSQL %i', (major) => {
  const based = async () => {
    const database = await createDatabase({ major });
    const client = await database.connect();
    for (const path of [...BASE_FILES, ...UNIT_FILES]) await applyFile(client, path);
    return { database, client };
  };

  test('step by step, again where they hold, and again with history', async () => {
    const { database, client } = await based();
    const [install, goLive] = await Promise.all([planOf('event-worker'), planOf('worker-live-dry-run')]);
    expect(await playAll(client, install)).toEqual(INSTALLS('applied'));
    expect(await playAll(client, install)).toEqual(INSTALLS('already_applied'));
    expect(await playAll(client, goLive)).toEqual(GOES_LIVE('applied'));
    expect(await playAll(client, goLive)).toEqual(GOES_LIVE('already_applied'));
    await emit(client);
    await runWorker(client);
    await emit(client);
    expect(await playAll(client, goLive)).toEqual(GOES_LIVE('already_applied'));
    expect(await playAll(client, install)).toEqual(INSTALLS('already_applied'));
    expect(await runWorker(client)).toMatchObject({ seen: 1, attempts_written: 1 });
    await database.drop();
  });

  test('taken back they leave the database as it was', async () => {
    const { database, client } = await based();
    await installEngine(client);
    const fingerprint = () => ask<string>(client, 'select sluice.fn_database_fingerprint() as answer');
    const before = await fingerprint();
    const [install, goLive] = await Promise.all([planOf('event-worker'), planOf('worker-live-dry-run')]);
    await playAll(client, install);
    await playAll(client, goLive);
    expect(await fingerprint()).not.toBe(before);
    await undoAll(client, goLive);
    await undoAll(client, install);
    expect(await fingerprint()).toBe(before);
    await database.drop();
  });

  test('with history the undo refuses, and the disable steps of the plan stop everything', async () => {
    const { database, client } = await based();
    const [install, goLive] = await Promise.all([planOf('event-worker'), planOf('worker-live-dry-run')]);
    await playAll(client, install);
    await playAll(client, goLive);
    await emit(client);
    await runWorker(client);
    expect(await sqlstateOf(undoAll(client, install))).toBe('SL001');
    expect(install.disable.map((step) => step.id)).toEqual(['l0', 'l1', 'l0-wait', 'l2', 'l3']);
    for (const step of install.disable) await applyFile(client, step.script.path);
    expect(await runWorker(client)).toMatchObject({ status: 'master_gate_closed' });
    expect(await ask(client, 'select count(*)::int as answer from iu_outbound_route where enabled')).toBe(0);
    await database.drop();
  });

  test('without the base the gates say what is missing instead of failing on it', async () => {
    const database = await createDatabase({ major });
    const client = await database.connect();
    const install = await readChecks(client, 'macros/event-worker/checks/mandatory-gates.sql');
    expect(install.map((row) => row.verdict)).toEqual([
      'fail',
      'fail',
      'fail',
      'fail',
      'fail',
      'fail',
      expect.any(String),
      'pass',
    ]);
    const goLive = await readChecks(client, 'macros/worker-live-dry-run/checks/mandatory-gates.sql');
    expect(goLive.map((row) => row.verdict)).toEqual([
      'fail',
      'not_run',
      'not_run',
      'not_run',
      'not_run',
      'not_run',
    ]);
    await database.drop();
  });

  test('each metric of the observe step answers one number', async () => {
    const { database, client } = await based();
    await installEngine(client);
    const [install, goLive] = await Promise.all([planOf('event-worker'), planOf('worker-live-dry-run')]);
    await playAll(client, install);
    await playAll(client, goLive);
    const observe = goLive.steps.find((step) => step.kind === 'observe');
    expect(observe?.metrics.map((metric) => metric.name)).toEqual([
      'backlog',
      'oldest-undecided',
      'open-dead-letters',
      'organic-attempts',
      'high-water-mark-lag',
    ]);
    await emit(client);
    const values: Record<string, number> = {};
    for (const metric of observe?.metrics ?? []) {
      const rows = (await readChecks(client, metric.script.path, 'value')) as unknown as { value: string }[];
      values[metric.name] = Number(rows[0]?.value);
    }
    expect(values).toMatchObject({ backlog: 1, 'open-dead-letters': 0, 'organic-attempts': 0 });
    expect(values['high-water-mark-lag']).toBeGreaterThanOrEqual(0);
    await database.drop();
  });
});
