import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type RouteProject, routeProject, setDeliveryGate } from './route-support/route-project.ts';
import { ask, emit, runWorker } from './sql-worker/support/worker.ts';

vi.setConfig({ testTimeout: 120_000 });

interface Shown {
  readonly code: string;
  readonly enabled: boolean;
  readonly dryRun: boolean;
  readonly state: string;
  readonly why: string | null;
  readonly queued: number;
}

const because = ['--yes', '--reason', 'a test'];

describe('on PostgreSQL 15', () => {
  let project: RouteProject;
  let sql: pg.Client;
  beforeAll(async () => {
    project = await routeProject();
    sql = project.sql;
    await project.configure('report: { dir: reports }');
  });
  afterAll(() => project.close());

  const shown = (code: string) => project.json<Shown & Record<string, unknown>>('route', 'show', code);
  const listOf = (key: string) =>
    ask<string>(sql, 'select value as answer from dot_config where key = $1', [key]);

  test('list has the route that is shipped, in dry run, with exactly the keys that are published', async () => {
    const [route, ...others] = await project.json<Record<string, unknown>[]>('route', 'list');
    expect(others).toEqual([]);
    expect(Object.keys(route ?? {})).toEqual([
      'code',
      'events',
      'kind',
      'target',
      'enabled',
      'dryRun',
      'state',
      'why',
      'allowed',
      'ordered',
      'afterDeadLetter',
      'queued',
      'deadLettersOpen',
      'breaker',
      'disabledBy',
    ]);
    expect(route).toMatchObject({
      code: 'iu_version_applied',
      events: { domain: 'iu', type: 'version_applied', filter: null },
      kind: 'workflow',
      state: 'dry_run',
      breaker: null,
    });
    const { stdout, exitCode } = await project.route('list');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/iu_version_applied.*iu\.version_applied.*workflow.*dry run/);
  });

  test('set creates a route, disabled and in dry run, and says who did it and why', async () => {
    const planned = await project.json<Record<string, unknown>>(
      ...['route', 'set', 'daily', '--domain', 'iu', '--type', 'tried', '--kind', 'report', '--ref', 'daily'],
      ...['--filter', '$.keep', '--ordered', '--reason', 'planned', '--dry-run'],
    );
    expect(planned).toMatchObject({ verb: 'create', dryRun: true });
    expect((await project.route('show', 'daily')).exitCode).toBe(7);
    await project.json(
      ...['route', 'set', 'daily', '--domain', 'iu', '--type', 'tried', '--kind', 'report', '--ref', 'daily'],
      ...['--filter', '$.keep', '--ordered', '--description', 'for a test', '--reason', 'wanted'],
    );
    expect(await shown('daily')).toMatchObject({
      events: { domain: 'iu', type: 'tried', filter: '$."keep"' },
      kind: 'report',
      target: 'daily',
      enabled: false,
      dryRun: true,
      state: 'disabled',
      allowed: false,
      ordered: true,
      afterDeadLetter: 'block',
      description: 'for a test',
      built: true,
      builtBy: `targets.${project.target}.delivery.report`,
      fault: null,
      config: {},
      attempts: [],
    });
    expect(
      await ask(
        sql,
        `select jsonb_build_object('actor', actor, 'reason', reason, 'is_new', was is null) as answer
         from iu_control_change
         where control = 'route' and name = 'daily'`,
      ),
    ).toEqual({ actor: 'ana', reason: 'wanted', is_new: true });
  });

  test('set changes what is given and nothing else, and says what it changed', async () => {
    const changed = await project.json<{ changes: string[] }>(
      ...['route', 'set', 'daily', '--no-filter', '--no-ordered', '--after-dead-letter', 'skip'],
      ...['--route-config', '{"timeout_ms": 1000}', '--reason', 'simpler'],
    );
    expect(changed.changes.sort()).toEqual(['afterDeadLetter', 'config', 'filter', 'ordered']);
    expect(await shown('daily')).toMatchObject({
      events: { domain: 'iu', type: 'tried', filter: null },
      target: 'daily',
      ordered: false,
      afterDeadLetter: 'skip',
      config: { timeout_ms: 1000 },
      description: 'for a test',
    });
    const again = await project.route('set', 'daily', '--no-filter', '--reason', 'again');
    expect(again.stdout).toMatch(/^daily is so already/);
  });

  test('a route goes live by enable, allow, an open gate and live, in this order', async () => {
    const refusedFor = async (...why: RegExp[]) => {
      const { exitCode, stdout, stderr } = await project.route('live', 'daily', ...because);
      expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
      for (const one of why) expect(stderr).toMatch(one);
      expect(stderr).toMatch(/Nothing was changed/);
    };
    await refusedFor(
      /it is disabled/,
      /gate iu_core\.delivery_enabled is closed/,
      /iu_core\.delivery_live_routes does not name it/,
      /sluice route allow daily/,
    );
    expect((await project.route('enable', 'daily', '--reason', 'a test')).stderr).toContain('--yes');
    expect((await project.route('enable', 'daily', ...because)).stdout).toBe('daily is enabled (dry run)');
    expect((await project.route('enable', 'daily', ...because)).stdout).toMatch(/enabled already/);

    expect((await project.route('allow', 'daily', '--reason', 'a test', '--dry-run')).stdout).toMatch(
      /would change: daily on iu_core\.delivery_live_routes/,
    );
    expect(await listOf('iu_core.delivery_live_routes')).toBe('');
    await refusedFor(/iu_core\.delivery_live_routes does not name it/);
    expect(await project.json('route', 'allow', 'daily', ...because)).toMatchObject({
      changes: [{ list: 'iu_core.delivery_live_routes', name: 'daily' }],
      liveRoutes: ['daily'],
      actor: 'ana',
      reason: 'a test',
    });
    expect((await project.route('allow', 'daily', ...because)).stdout).toMatch(/allowed already/);

    await refusedFor(/cannot go live: gate iu_core\.delivery_enabled is closed\.$/m);
    await setDeliveryGate(sql, true);
    for (const [key, level] of [
      ['iu_core.outbound_enabled', 'L1'],
      ['iu_core.route_worker_enabled', 'L0'],
    ] as const) {
      await sql.query(`update dot_config set value = 'false' where key = $1`, [key]);
      await refusedFor(new RegExp(`cannot go live: gate ${key} is closed`), new RegExp(`--level ${level}`));
      await sql.query(`update dot_config set value = 'true' where key = $1`, [key]);
    }

    expect((await project.route('live', 'daily', '--reason', 'a test')).stderr).toContain('--yes');
    expect((await project.route('live', 'daily', '--reason', 'a test', '--dry-run')).stdout).toMatch(
      /would go live/,
    );
    expect(await shown('daily')).toMatchObject({ dryRun: true });
    const live = await project.route('live', 'daily', ...because);
    expect(live).toMatchObject({ exitCode: 0, stdout: 'daily is live; 0 deliveries are queued' });
    expect((await project.route('live', 'daily', ...because)).stdout).toMatch(/out of dry run already/);
    expect(
      await ask(
        sql,
        `select became ->> 'dry_run' || ' ' || actor || ' ' || reason as answer
         from iu_control_change
         where control = 'route' and name = 'daily'
         order by change_no desc
         limit 1`,
      ),
    ).toBe('false ana a test');
  });

  test('a live route is not changed, and says what to do first', async () => {
    const { exitCode, stderr } = await project.route('set', 'daily', '--ref', 'other', '--reason', 'a test');
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/a live route is not changed[\s\S]*sluice route dry-run daily/);
    expect(await shown('daily')).toMatchObject({ target: 'daily' });
  });

  test('dry run keeps what is queued and says so, recall takes it out with an attempt for each', async () => {
    const events = [await emit(sql, { n: 1 }, 'tried'), await emit(sql, { n: 2 }, 'tried')];
    await runWorker(sql);
    expect(await shown('daily')).toMatchObject({ state: 'live', queued: 2 });
    expect((await project.route('dry-run', 'daily', '--dry-run', '--reason', 'a test')).stdout).toMatch(
      /would go in dry run/,
    );
    expect(await shown('daily')).toMatchObject({ dryRun: false });

    const { stdout } = await project.route('dry-run', 'daily', '--reason', 'a test');
    expect(stdout).toMatch(/^daily is in dry run\n {2}2 deliveries stay queued and are not sent/);
    expect(stdout).toMatch(/sluice route dry-run daily --recall/);
    expect(await shown('daily')).toMatchObject({ dryRun: true, queued: 2, attempts: [] });
    const kept = await project.route('set', 'daily', '--ref', 'other', '--reason', 'a test');
    expect(kept.stdout).toMatch(/2 queued deliveries keep the target they were queued for/);

    const recall = ['route', 'dry-run', 'daily', '--recall'];
    expect((await project.sluice(...recall, '--reason', 'a test')).stderr).toContain('--yes');
    expect(await project.json(...recall, ...because)).toMatchObject({
      recalled: 2,
      changed: false,
      route: { queued: 0 },
      notes: [],
    });
    const { attempts } = await shown('daily');
    expect(attempts).toHaveLength(2);
    expect(new Set((attempts as { eventId: string }[]).map(({ eventId }) => eventId))).toEqual(
      new Set(events),
    );
    expect(attempts).toMatchObject([
      { status: 'dry_run', delivered: false, detail: { recalled_by: 'ana', reason: 'a test' } },
      { status: 'dry_run' },
    ]);
    expect(await project.json('outbox', 'conservation')).toMatchObject({ balanced: true });
  });

  test('a live route whose permission is taken away is blocked, and says so', async () => {
    await project.route('live', 'daily', ...because);
    const removed = await project.route('allow', 'daily', '--remove', '--reason', 'a test');
    expect(removed).toMatchObject({ exitCode: 0 });
    expect(removed.stdout).toMatch(
      /daily off iu_core\.delivery_live_routes\n {2}it is live: its events are blocked/,
    );
    expect(await listOf('iu_core.delivery_live_routes')).toBe('');
    expect(await shown('daily')).toMatchObject({
      state: 'blocked',
      why: 'iu_core.delivery_live_routes does not name the route',
    });
    await emit(sql, {}, 'tried');
    await runWorker(sql);
    expect((await project.route('list')).stdout).toMatch(
      /daily.*blocked: iu_core\.delivery_live_routes does not name/,
    );
    expect(await shown('daily')).toMatchObject({ queued: 0, attempts: [{ status: 'blocked' }, {}, {}] });
  });

  test('disable and enable are recorded, and enabling a live route without permission is refused by the database', async () => {
    expect((await project.route('disable', 'daily', '--reason', 'a test')).stderr).toContain('--yes');
    const disabled = await project.route('disable', 'daily', ...because);
    expect(disabled.stdout).toMatch(/^daily is disabled \(disabled\)\n.*decided without it/);
    const { exitCode, stderr } = await project.route('enable', 'daily', ...because);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(
      /route daily may not be live: iu_core\.delivery_live_routes does not name it[\s\S]*Allow it first/,
    );
    expect(await shown('daily')).toMatchObject({ enabled: false });
    await project.route('dry-run', 'daily', '--reason', 'a test');
    expect(await project.json('route', 'enable', 'daily', ...because)).toMatchObject({
      changed: true,
      route: { state: 'dry_run' },
    });
  });

  test('a route that a level of the runbook switched off comes back by that level, one that a target left by enable', async () => {
    await sql.query(
      `update iu_outbound_route set enabled = false, disabled_by = 'L2' where route_code = 'daily'`,
    );
    const { exitCode, stderr } = await project.route('enable', 'daily', ...because);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/disabled by level L2[\s\S]*sluice outbox enable --level L2/);
    await sql.query(
      `update iu_outbound_route set disabled_by = 'delivery: the target is gone' where route_code = 'daily'`,
    );
    expect((await project.route('show', 'daily')).stdout).toMatch(
      /enabled +no, by delivery: the target is gone/,
    );
    expect((await project.route('enable', 'daily', ...because)).exitCode).toBe(0);
    expect(await shown('daily')).toMatchObject({ enabled: true, disabledBy: null });
  });

  test('allow of a function route names its function too, once, sorted, and remove leaves what others call', async () => {
    for (const code of ['fn.b', 'fn.a'])
      await project.json(
        ...['route', 'set', code, '--domain', 'iu', '--type', 'called', '--kind', 'sql_function'],
        ...['--ref', 'app.receive', '--reason', 'a test'],
      );
    expect((await project.route('allow', 'fn.b', ...because)).stdout).toBe(
      'changed: fn.b on iu_core.delivery_live_routes, app.receive on iu_core.delivery_functions\n  it stays in dry run until sluice route live fn.b',
    );
    expect(await project.json('route', 'allow', 'fn.a', ...because)).toMatchObject({
      changes: [{ list: 'iu_core.delivery_live_routes', name: 'fn.a' }],
    });
    expect(await listOf('iu_core.delivery_live_routes')).toBe('fn.a,fn.b');
    expect(await listOf('iu_core.delivery_functions')).toBe('app.receive');
    await project.json('route', 'allow', 'fn.a', '--remove', '--reason', 'a test');
    expect(await listOf('iu_core.delivery_functions')).toBe('app.receive');
    await sql.query(`delete from iu_outbound_route where route_code = 'fn.a'`);
    await project.json('route', 'allow', 'fn.b', '--remove', '--reason', 'a test');
    expect(await listOf('iu_core.delivery_live_routes')).toBe('');
    expect(await listOf('iu_core.delivery_functions')).toBe('');
  });
});

test('a route that was deleted can still be taken off the list', async () => {
  const project = await routeProject();
  await project.sql.query(
    `update dot_config set value = ' gone , kept' where key = 'iu_core.delivery_live_routes'`,
  );
  expect((await project.route('allow', 'gone', ...because)).exitCode).toBe(7);
  expect(await project.json('route', 'allow', 'gone', '--remove', '--reason', 'a test')).toMatchObject({
    liveRoutes: ['kept'],
    notes: ['the route itself is gone'],
  });
  await project.close();
});

test('on PostgreSQL 18 a route goes live, is recalled and disabled likewise', async () => {
  const project = await routeProject({ major: 18 });
  await project.configure('report: { dir: reports }');
  await setDeliveryGate(project.sql, true);
  await project.json(
    ...['route', 'set', 'daily', '--domain', 'iu', '--type', 'tried', '--kind', 'report', '--ref', 'daily'],
    ...['--filter', '$.keep', '--reason', 'a test'],
  );
  for (const verb of ['enable', 'allow', 'live']) await project.json('route', verb, 'daily', ...because);
  await emit(project.sql, { keep: true }, 'tried');
  await emit(project.sql, { keep: false }, 'tried');
  await runWorker(project.sql);
  expect(await project.json('route', 'show', 'daily')).toMatchObject({
    state: 'live',
    queued: 1,
    breaker: null,
  });
  expect(await project.json('route', 'dry-run', 'daily', '--recall', ...because)).toMatchObject({
    changed: true,
    recalled: 1,
  });
  await project.json('route', 'disable', 'daily', ...because);
  expect(await project.json('route', 'show', 'daily')).toMatchObject({
    state: 'disabled',
    queued: 0,
    attempts: [{ status: 'dry_run' }],
  });
  await project.close();
});
