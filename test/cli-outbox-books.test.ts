import type pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ask, emit, runWorker, settled } from './sql-worker/support/worker.ts';
import { OUTBOX_TEMPLATE } from './support/outbox-template.ts';
import { type CliProject, cliProject } from './support/run-cli.ts';

vi.setConfig({ testTimeout: 120_000 });

let project: CliProject;
let sql: pg.Client;
beforeEach(async () => {
  project = await cliProject({ worker: false, template: OUTBOX_TEMPLATE });
  sql = await project.database.connect();
});
afterEach(() => project.close());

const because = ['--yes', '--reason', 'a test'];
/** The route becomes live while the delivery gate is closed: what it matches is blocked. */
const goLiveBehindClosedGate = async () => {
  await sql.query('alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk');
  await sql.query('update iu_outbound_route set dry_run = false');
};
interface Change {
  readonly control: string;
  readonly name: string;
  readonly actor: string | null;
  readonly reason: string | null;
}
const newestChanges = async (count: number): Promise<Change[]> => {
  const { rows } = await sql.query<Change>(
    `select control, name, actor, reason from iu_control_change order by change_no desc limit ${count}`,
  );
  return rows.toReversed();
};

test('conservation shows first decisions for each worker and route, and balances', async () => {
  await emit(sql);
  await emit(sql);
  await emit(sql, {}, 'nobody_wants_it');
  expect(await project.json('outbox', 'conservation')).toEqual({
    balanced: true,
    routes: [
      {
        worker: 'iu_outbound_default',
        route: null,
        eventsUpToCursor: 0,
        firstDecisions: {},
        queued: 0,
        held: 0,
      },
    ],
    gaps: [],
  });
  await runWorker(sql);
  const proof = await project.json<Record<string, unknown>>('outbox', 'conservation');
  expect(Object.keys(proof)).toEqual(['balanced', 'routes', 'gaps']);
  const row = { worker: 'iu_outbound_default', eventsUpToCursor: 3, queued: 0, held: 0 };
  expect(proof).toEqual({
    balanced: true,
    routes: [
      { ...row, route: 'iu_version_applied', firstDecisions: { dry_run: 2 } },
      { ...row, route: null, firstDecisions: { no_route: 1 } },
    ],
    gaps: [],
  });
  const { stdout, exitCode } = await project.sluice('outbox', 'conservation');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^balanced: nothing is unaccounted for\n/);
  expect(stdout).toMatch(/iu_outbound_default\s+│ iu_version_applied\s+│ 3\s+│ 2\s+│ 0/);
});

test('where it does not balance, it ends with 5 and names each kind of gap with its first ids', async () => {
  const lost = await emit(sql);
  await emit(sql);
  await runWorker(sql);
  await sql.query('alter table iu_route_attempt disable trigger trg_iu_attempt_append_only');
  await sql.query('delete from iu_route_attempt where event_id = $1', [lost]);
  await sql.query(`select fn_iu_create_unit('a.md#b', 'B', 'one', 'me')`);
  await sql.query('alter table unit_version disable trigger trg_iu_out_version');
  const silent = await ask<string>(
    sql,
    `select version_id as answer from fn_iu_add_version('a.md#b', 'two', 'me')`,
  );
  const { exitCode, stdout } = await project.sluice('outbox', 'conservation', '--json');
  expect(exitCode).toBe(5);
  expect(JSON.parse(stdout)).toMatchObject({
    balanced: false,
    gaps: [
      { kind: 'events_without_attempt', worker: 'iu_outbound_default', count: 1, ids: [lost] },
      { kind: 'versions_without_event', worker: null, count: 1, ids: [silent] },
      {
        kind: 'matches_without_attempt',
        worker: null,
        count: 1,
        ids: [`${lost}:iu_version_applied:iu_outbound_default`],
      },
    ],
  });
  const text = await project.sluice('outbox', 'conservation');
  expect(text.exitCode).toBe(5);
  expect(text.stdout).toMatch(new RegExp(`events without attempt \\(iu_outbound_default\\): 1, ${lost}`));
});

test('release says what keeps events back, and releases them once nothing does', async () => {
  await goLiveBehindClosedGate();
  for (let n = 0; n < 3; n += 1) await emit(sql, { n });
  await runWorker(sql);
  const why = 'gate iu_core.delivery_enabled is closed';
  expect(await project.json('outbox', 'release', '--dry-run', '--reason', 'a look')).toMatchObject({
    status: 'not_run',
    released: 0,
    stillBlocked: 3,
    blocked: [{ route: 'iu_version_applied', events: 3, why }],
  });
  expect((await project.sluice('outbox', 'release', '--reason', 'x')).stderr).toContain('--yes');
  const closed = await project.sluice('outbox', 'release', ...because);
  expect(closed.exitCode).toBe(0);
  expect(closed.stdout).toMatch(
    /^delivery_gate_closed: 0 released, 0 of them dead-lettered, 3 still blocked\n[\s\S]*gate iu_core\.delivery_enabled is closed/,
  );

  await sql.query('update iu_outbound_route set dry_run = true');
  expect(await project.json('outbox', 'release', '--limit', '2', ...because)).toMatchObject({
    status: 'released',
    released: 2,
    attempts: 2,
    pages: 1,
    stillBlocked: 1,
    blocked: [{ events: 1, why: null }],
  });
  expect(await project.json('outbox', 'release', ...because)).toMatchObject({
    released: 1,
    stillBlocked: 0,
    blocked: [],
    actor: 'ana',
    reason: 'a test',
  });
  expect(await project.json('outbox', 'release', ...because)).toMatchObject({ released: 0, stillBlocked: 0 });
  expect(await project.json('outbox', 'conservation')).toMatchObject({ balanced: true });
});

test('what waits for the event before it of its subject is shown as held, and its turn comes after the release', async () => {
  await goLiveBehindClosedGate();
  await sql.query('update iu_outbound_route set ordered_by_subject = true');
  for (let n = 0; n < 3; n += 1) await emit(sql, { n });
  await runWorker(sql);
  expect(await project.json('outbox', 'conservation')).toMatchObject({
    balanced: true,
    routes: [{ route: 'iu_version_applied', eventsUpToCursor: 3, firstDecisions: { blocked: 1 }, held: 2 }],
    gaps: [],
  });
  await sql.query('update iu_outbound_route set dry_run = true');
  expect(await project.json('outbox', 'release', ...because)).toMatchObject({ released: 1, stillBlocked: 0 });
  await project.json('outbox', 'drain');
  expect(await project.json('outbox', 'conservation')).toMatchObject({
    balanced: true,
    routes: [{ firstDecisions: { blocked: 1, dry_run: 2 }, held: 0 }],
  });
});

test('release is a no-op while the worker gate is closed, and says so', async () => {
  await goLiveBehindClosedGate();
  await emit(sql);
  await runWorker(sql);
  await sql.query(`update dot_config set value = 'false' where key = 'iu_core.route_worker_enabled'`);
  expect(await project.json('outbox', 'release', ...because)).toMatchObject({
    status: 'worker_gate_closed',
    released: 0,
    stillBlocked: 1,
    blocked: [{ why: 'gate iu_core.route_worker_enabled is closed' }],
  });
});

test('rebase lets the cursors count in this cluster after a restore, and says when nothing had to be', async () => {
  const nothing = await project.sluice('outbox', 'rebase', ...because);
  expect(nothing.exitCode).toBe(0);
  expect(nothing.stdout).toMatch(/^nothing had to be rebased: epoch 1 /);

  await emit(sql);
  await runWorker(sql);
  await sql.query('update iu_outbox_epoch set system_identifier = 1');
  await sql.query('update iu_route_worker_cursor set system_identifier = 1');
  const refused = await project.sluice('outbox', 'drain');
  expect(refused.exitCode).toBe(3);
  expect(refused.stderr).toMatch(/counts transactions of another cluster/);
  expect((await project.sluice('outbox', 'rebase', '--reason', 'restored')).stderr).toContain('--yes');
  expect(await project.json('outbox', 'rebase', '--dry-run', '--reason', 'restored')).toMatchObject({
    status: 'not_run',
    epoch: 1,
    cursors: ['iu_outbound_default'],
  });
  expect(await project.json('outbox', 'rebase', ...because)).toMatchObject({
    status: 'rebased',
    epoch: 2,
    cursors: ['iu_outbound_default'],
    cursorsRebased: 1,
    actor: 'ana',
  });
  await emit(sql);
  await settled(sql);
  expect(await project.json('outbox', 'drain')).toMatchObject({ events: 1, status: 'ran' });
});

test('who closed and opened a gate, and why, is in the target’s own record', async () => {
  await project.json('outbox', 'disable', '--level', 'L2', '--yes', '--reason', 'too many failures');
  const said = { actor: 'ana', reason: 'too many failures' };
  expect(await newestChanges(3)).toEqual([
    { control: 'config', name: 'iu_core.route_worker_enabled', ...said },
    { control: 'config', name: 'iu_core.outbound_enabled', ...said },
    { control: 'route', name: 'iu_version_applied', ...said },
  ]);
  await project.json('outbox', 'enable', '--level', 'L2', '--yes', '--reason', 'repaired', '--actor', 'bo');
  expect(await newestChanges(1)).toEqual([
    { control: 'route', name: 'iu_version_applied', actor: 'bo', reason: 'repaired' },
  ]);
});

test('disable names the run that is still under way, and the gates stay closed', async () => {
  await emit(sql);
  await sql.query('begin');
  await runWorker(sql);
  const pid = await ask<number>(sql, 'select pg_backend_pid() as answer');
  const { exitCode, stderr } = await project.sluice('outbox', 'disable', '--level', 'L2', ...because);
  expect(exitCode).toBe(5);
  expect(stderr).toMatch(new RegExp(`is closed, and a run is still under way: pid ${pid} \\(postgres, `));
  expect(stderr).toMatch(/nothing new can start/);
  await sql.query('commit');
  expect(await project.json('outbox', 'health')).toMatchObject({ gates: { master: false, worker: false } });
  expect(await ask(sql, 'select enabled as answer from iu_outbound_route')).toBe(true);
  const again = await project.sluice('outbox', 'disable', '--level', 'L2', ...because);
  expect(again.exitCode).toBe(0);
  expect(await ask(sql, 'select enabled as answer from iu_outbound_route')).toBe(false);
});
