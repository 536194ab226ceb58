import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ReplayPlan } from '../contracts/replay.ts';
import { type DeadLetterProject, deadLetterProject } from './dead-letter-support/dead-letter-project.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const because = ['--reason', 'a test'];
let project: DeadLetterProject;
let sql: pg.Client;
beforeAll(async () => {
  project = await deadLetterProject();
  sql = project.sql;
  await sql.query(`update dot_config set value = '1' where key = 'iu_core.replay_approval_above'`);
  await project.die(2);
});
afterAll(() => project.close());

const plan = (...args: string[]) =>
  project.answer<ReplayPlan & { readonly next: string | null }>('plan', '--no-try-out', ...args, ...because);

test('many letters need another person; plans shows what each plan waits for', async () => {
  expect((await project.run('plans')).stdout).toBe('no plans; `sluice dead-letter plan` makes one');
  const made = await plan();
  const hash = made.planHash ?? '';
  expect(made).toMatchObject({ needsApproval: true, approvedBy: null });
  expect(made.next).toContain(`sluice dead-letter approve ${hash.slice(0, 16)}`);
  expect((await project.run('plans')).stdout).toMatch(/planned, needs approval/);

  const own = await project.run('approve', hash, ...because);
  expect([own.exitCode, own.stderr]).toEqual([
    3,
    expect.stringMatching(/ana has made it[\s\S]*Another person/),
  ]);
  const unsaid = await project.run('approve', hash, '--actor', 'bo');
  expect([unsaid.exitCode, unsaid.stderr]).toEqual([2, expect.stringMatching(/--reason is missing/)]);
  const dry = await project.answer('approve', hash, '--actor', 'bo', '--dry-run', ...because);
  expect(dry).toMatchObject({ dryRun: true, approvedBy: null });

  const approved = await project.answer('approve', hash.slice(0, 8), '--actor', 'bo', ...because);
  expect(approved).toMatchObject({ planHash: hash, letters: 2, approvedBy: 'bo', actor: 'bo' });
  expect(approved).toMatchObject({ next: expect.stringContaining(`replay ${hash.slice(0, 16)}`) });
  const [listed] = await project.answer<Record<string, unknown>[]>('plans');
  expect(listed).toMatchObject({
    planHash: hash,
    state: 'planned',
    letters: 2,
    runs: 0,
    needsApproval: true,
    approvedBy: 'bo',
    isExpired: false,
    policy: null,
    actor: 'ana',
  });
  const one = await plan('--max-letters', '1');
  expect(one.needsApproval).toBe(false);
  const [newest] = await project.answer<{ planHash: string }[]>('plans', '--limit', '1');
  expect(newest?.planHash).toBe(one.planHash);
});

test('a plan whose route was changed since is stale', async () => {
  const { planHash } = await plan();
  await sql.query(`update iu_outbound_route set config = '{"timeout_ms": 5}' where route_code = 'crm'`);
  const { exitCode, stderr } = await project.run('approve', planHash ?? '', '--actor', 'bo', ...because);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(
    /is stale: route crm was changed\.[\s\S]*Make a new plan[\s\S]*replay_stale, exit 3/,
  );
});

test('policies are made switched off, changed off, switched, listed and removed, by whom and why', async () => {
  expect((await project.run('policy', 'list')).stdout).toMatch(/^no policies/);
  const wanted = [
    '--route',
    'crm',
    '--code',
    'timeout',
    '--min-age',
    '10m',
    '--max-letters',
    '50',
    '--attempts',
    '3',
  ];
  const dry = await project.answer('policy', 'set', 'crm-timeouts', ...wanted, '--dry-run', ...because);
  expect(dry).toMatchObject({ dryRun: true, policy: 'crm-timeouts' });
  expect(await project.answer('policy', 'list')).toEqual([]);
  const set = await project.answer('policy', 'set', 'crm-timeouts', ...wanted, ...because);
  expect(set).toMatchObject({
    dryRun: false,
    policy: 'crm-timeouts',
    isEnabled: false,
    filter: { routes: ['crm'], codes: ['timeout'] },
    settings: { attempts: 3, canary: 'each' },
    minAgeSeconds: 600,
    maxLetters: 50,
    maxReplays: 3,
    changedBy: 'ana',
    changeReason: 'a test',
  });
  const unasked = await project.run('policy', 'enable', 'crm-timeouts', ...because);
  expect([unasked.exitCode, unasked.stderr]).toEqual([2, expect.stringContaining('--yes')]);
  expect(
    (await project.run('policy', 'enable', 'crm-timeouts', '--yes', '--dry-run', ...because)).stdout,
  ).toContain('would enable it');
  expect(await project.answer('policy', 'list')).toMatchObject([{ isEnabled: false }]);
  await project.answer('policy', 'enable', 'crm-timeouts', '--yes', ...because);
  expect(await project.answer('policy', 'list')).toMatchObject([{ policy: 'crm-timeouts', isEnabled: true }]);
  expect((await project.run('policy', 'list')).stdout).toMatch(
    /crm-timeouts │ on .*codes timeout; routes crm .*10 min/,
  );
  await project.answer('policy', 'disable', 'crm-timeouts', ...because);
  expect(await project.answer('policy', 'list')).toMatchObject([{ isEnabled: false }]);
  await project.answer('policy', 'enable', 'crm-timeouts', '--yes', ...because);
  expect(await project.answer('policy', 'set', 'crm-timeouts', ...because)).toMatchObject({
    isEnabled: false,
  });
  expect((await project.run('policy', 'remove', 'crm-timeouts', '--yes', ...because)).stdout).toContain(
    'removed',
  );
  expect(await project.answer('policy', 'list')).toEqual([]);
});

test('an unreachable Temporal is told within its deadline, and what needs none goes on', async () => {
  const { planHash } = await plan();
  const away = ['--temporal-address', '127.0.0.1:1', 'dead-letter'];
  const started = await project.sluice(...away, 'replay', planHash ?? '', '--yes', ...because);
  expect(started.exitCode).toBe(69);
  const shown = await project.sluice(...away, 'replay', 'show', planHash ?? '');
  expect([shown.exitCode, shown.stdout]).toEqual([0, expect.stringMatching(/executions unknown/)]);
});
