import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { type RouteProject, routeProject } from '../route-support/route-project.ts';
import { waitFor } from '../support/wait-for.ts';
import { attempts, liveRoute, openDeliveries, queued, queueEvents } from './support/deliveries.ts';
import { gateAnswer, type Receiver, startReceiver } from './support/receiver.ts';

vi.setConfig({ testTimeout: 120_000 });

let project: RouteProject;
let receiver: Receiver;
beforeAll(async () => {
  project = await routeProject();
  await project.configure(
    'allow_cidrs: [127.0.0.0/8]\nconcurrency: 4\nexternal_endpoint: { source: "https://iu.example" }',
  );
  await openDeliveries(project.sql);
});
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(async () => {
  await project.sql.query('update iu_outbound_route set dry_run = true where not dry_run');
  await receiver.close();
});
afterAll(() => project.close());

test('what is due is delivered, and the counts are printed', async () => {
  await liveRoute(project.sql, 'due', receiver.url);
  await queueEvents(project.sql, 'due', 50);
  const dry = await project.sluice('outbox', 'deliver', '--dry-run', '--json');
  expect(dry.stderr).toContain('dry run: 50 deliveries are due');
  expect(JSON.parse(dry.stdout)).toMatchObject({ sent: 0, status: 'not_run' });
  expect(receiver.ledger).toHaveLength(0);
  const result = await project.json<object>('outbox', 'deliver');
  expect(Object.keys(result)).toEqual([
    'sent',
    'skipped',
    'failed',
    'retried',
    'deadLettered',
    'refused',
    'inFlight',
    'seconds',
    'perSecond',
    'status',
  ]);
  expect(result).toMatchObject({ sent: 50, failed: 0, inFlight: 0, status: 'open' });
  expect(receiver.keys().size).toBe(50);
  const { exitCode, stdout } = await project.sluice('outbox', 'deliver');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^open: 0 sent, 0 to be tried again, 0 dead-lettered in \d/);
});

test('Ctrl-C settles what is in flight, gives the rest back, and ends with 130', async () => {
  const gate = gateAnswer();
  receiver.answer = gate.answer;
  await liveRoute(project.sql, 'interrupted', receiver.url);
  await queueEvents(project.sql, 'interrupted', 50);
  const running = project.spawn('outbox', 'deliver', '--for', '10m', '--json');
  await waitFor(async () => receiver.open === 4, 60_000);
  running.kill('SIGINT');
  await waitFor(
    async () =>
      (await project.sql.query(`select from iu_route_lease where route_code = 'interrupted'`)).rowCount === 1,
  );
  gate.open();
  const { exitCode, stdout } = await running;
  expect(exitCode).toBe(130);
  const { sent } = JSON.parse(stdout) as { sent: number };
  expect(await attempts(project.sql, 'interrupted')).toEqual({ sent });
  expect(await queued(project.sql, 'interrupted')).toBe(50 - sent);
  expect(receiver.ledger).toHaveLength(sent);
  expect((await project.sql.query('select from iu_route_lease')).rowCount).toBe(0);
});

test('a closed gate is no error, and the status names it', async () => {
  await project.sql.query(`update dot_config set value = 'false' where key = 'iu_core.delivery_enabled'`);
  const { exitCode, stdout } = await project.sluice('outbox', 'deliver');
  expect(exitCode).toBe(0);
  expect(stdout).toContain('delivery_gate_closed: 0 sent');
  await openDeliveries(project.sql);
});

test('without the seam it says what is missing', async () => {
  const bare = await routeProject({ seam: false });
  const { exitCode, stderr } = await bare.sluice('outbox', 'deliver');
  await bare.close();
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(/not wholly, installed/);
});
