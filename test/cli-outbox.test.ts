import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { settled } from './sql-worker/support/worker.ts';
import { OUTBOX_TEMPLATE } from './support/outbox-template.ts';
import { type CliProject, cliProject } from './support/run-cli.ts';

vi.setConfig({ testTimeout: 120_000 });

let project: CliProject;
let sql: pg.Client;
beforeAll(async () => {
  project = await cliProject({ worker: false, template: OUTBOX_TEMPLATE });
  sql = await project.database.connect();
});
afterAll(() => project.close());

/** Emits an event and waits until transactions of other tests no longer keep it above the high-water mark. */
const emit = async (payload = '{"n": 1}') => {
  const run = await project.sluice(
    'outbox',
    'emit',
    '--domain',
    'iu',
    '--type',
    'tried',
    '--payload',
    payload,
  );
  await settled(sql);
  return run;
};
const because = ['--yes', '--reason', 'a test'];

test('health has exactly the keys that are published', async () => {
  const health = await project.json<Record<string, unknown>>('outbox', 'health');
  expect(Object.keys(health)).toEqual([
    'healthy',
    'reasons',
    'gates',
    'backlog',
    'oldestUnroutedSeconds',
    'highWaterMark',
    'queuedDeliveries',
    'deadLettersOpen',
    'lastRun',
  ]);
  expect(health).toMatchObject({
    healthy: true,
    reasons: [],
    gates: { master: true, worker: true, delivery: false },
    backlog: 0,
    highWaterMark: { lagSeconds: expect.any(Number) },
  });
  expect(Object.keys(health.highWaterMark as object)).toEqual(['lagSeconds', 'blocker']);
});

test('events that are emitted are drained, batch by batch, up to the limit', async () => {
  for (let n = 0; n < 5; n += 1) {
    const { exitCode, stdout } = await emit(JSON.stringify({ n }));
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^[0-9a-f-]{36}$/);
  }
  expect(await project.json('outbox', 'health')).toMatchObject({ backlog: 5 });
  expect(await project.json('outbox', 'drain', '--dry-run')).toMatchObject({ events: 0, status: 'not_run' });
  const { stdout, stderr } = await project.sluice(
    'outbox',
    'drain',
    '--limit',
    '3',
    '--batch',
    '2',
    '--json',
  );
  expect(stderr).toContain('drained 2 of 3 events (67 %)');
  const part = JSON.parse(stdout) as Record<string, unknown>;
  expect(Object.keys(part)).toEqual([
    'events',
    'attempts',
    'deadLettered',
    'batches',
    'seconds',
    'eventsPerSecond',
    'status',
  ]);
  expect(part).toMatchObject({ events: 3, attempts: 3, deadLettered: 0, batches: 2, status: 'ran' });
  expect(await project.json('outbox', 'drain')).toMatchObject({ events: 2, attempts: 2, status: 'ran' });
  expect(await project.json('outbox', 'health')).toMatchObject({
    backlog: 0,
    lastRun: { cursor: 'iu_outbound_default' },
  });
});

test('what is no JSON object is refused with 2, what the emitter refuses with 3, and nothing is written', async () => {
  expect((await emit('[1]')).exitCode).toBe(2);
  expect((await emit('{')).exitCode).toBe(2);
  const refused = await project.sluice('outbox', 'emit', '--domain', 'with space', '--type', 'tried');
  expect(refused.exitCode).toBe(3);
  expect(refused.stderr).toMatch(/domain is empty or holds white space/);
  expect((await project.sluice('outbox', 'drain', '--cursor', 'nobody')).exitCode).toBe(3);
  expect(
    (await project.sluice('outbox', 'emit', '--domain', 'iu', '--type', 'tried', '--dry-run')).exitCode,
  ).toBe(0);
  expect(await project.json('outbox', 'health')).toMatchObject({ backlog: 0 });
});

test('disable closes up to its level, a closed gate makes drain a clean no-op, and enable opens from the top', async () => {
  expect((await project.sluice('outbox', 'disable', '--level', 'L2', '--reason', 'x')).stderr).toContain(
    '--yes',
  );
  const closed = await project.json<{ files: string[] }>('outbox', 'disable', '--level', 'L2', ...because);
  expect(closed).toMatchObject({
    levels: ['L0', 'L1', 'L2'],
    gates: { master: false, worker: false },
    actor: 'ana',
  });
  await emit();
  const drained = await project.sluice('outbox', 'drain', '--json');
  expect(drained.exitCode).toBe(0);
  expect(JSON.parse(drained.stdout)).toMatchObject({ events: 0, status: 'master_gate_closed' });

  const tooLow = await project.sluice('outbox', 'enable', '--level', 'L0', ...because);
  expect(tooLow.exitCode).toBe(3);
  expect(tooLow.stderr).toMatch(/L1 and L2 are still disabled[\s\S]*enable --level L2/);
  for (const level of ['L2', 'L1', 'L0']) {
    expect((await project.sluice('outbox', 'enable', '--level', level, ...because)).exitCode).toBe(0);
  }
  expect(await project.json('outbox', 'drain')).toMatchObject({ events: 1, status: 'ran' });
});

test('a folder of Markdown becomes units, an edit becomes a version with its event', async () => {
  const docs = join(project.dir, 'docs');
  await mkdir(docs);
  await writeFile(join(docs, 'a.md'), '# A\n\nfirst\n\n## B\n\nsecond\n');
  expect(await project.json('iu', 'import', 'docs')).toMatchObject({
    files: 1,
    units: 2,
    created: 2,
    events: 0,
  });
  await writeFile(join(docs, 'a.md'), '# A\n\nfirst\n\n## B\n\nedited\n');
  expect(await project.json('iu', 'import', 'docs', '--commit', 'abc')).toMatchObject({
    versionsAdded: 1,
    unchanged: 1,
    events: 1,
  });
  expect(await project.json('outbox', 'drain')).toMatchObject({ events: 1 });
  expect((await project.sluice('iu', 'import', 'no-such-folder')).exitCode).toBe(2);
});

test('without IU Core the error names the macros that install it', async () => {
  const bare = await cliProject({ worker: false });
  for (const verb of ['health', 'drain']) {
    const { exitCode, stderr } = await bare.sluice('outbox', verb);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/iu-core-base and event-worker/);
  }
  await bare.close();
});

test('status shows the target, its gates and that Temporal answers', async () => {
  const { exitCode, stdout } = await project.sluice('status');
  expect(exitCode).toBe(0);
  expect(stdout).toContain(project.target);
  expect(stdout).toMatch(/master gate open, worker gate open, backlog 0, healthy/);
  expect(await project.json('status')).toMatchObject({
    temporal: { problem: null },
    targets: [{ target: project.target, problem: null, openRun: null, outbox: { backlog: 0 } }],
  });
});
