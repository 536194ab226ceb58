import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ReplayPlan } from '../contracts/replay.ts';
import {
  addTarget,
  type DeadLetterProject,
  deadLetterProject,
} from './dead-letter-support/dead-letter-project.ts';
import { ask } from './sql-worker/support/worker.ts';
import { runCli } from './support/run-cli.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

type Planned = ReplayPlan & { readonly target: string; readonly next: string | null };

const because = ['--reason', 'a test'];
const NOBODY = '019aa000-0000-7000-8000-000000000000';

let project: DeadLetterProject;
let sql: pg.Client;
let raised: readonly string[];
let failed: readonly string[];
beforeAll(async () => {
  project = await deadLetterProject();
  sql = project.sql;
  raised = await project.die(3);
  failed = await project.die(2, 'answers failed');
});
afterAll(() => project.close());

const plan = (...args: string[]) => project.answer<Planned>('plan', ...args, ...because);
const plans = () => ask<number>(sql, 'select count(*)::integer as answer from iu_replay_plan');
const setConfig = (key: string, value: string) =>
  sql.query('update dot_config set value = $2 where key = $1', [`iu_core.${key}`, value]);

test('a plan has the letters, how they fail, their route, the policy, and the command that comes next', async () => {
  const made = await plan('--route', 'crm');
  expect(made).toMatchObject({
    planHash: expect.stringMatching(/^[0-9a-f]{64}$/),
    letters: 5,
    canaryLetters: 2,
    groups: [
      { route: 'crm', failureCode: 'worker_process_error', letters: 3, tried: 3, stillFailing: 3 },
      { route: 'crm', failureCode: 'target_failed', letters: 2, tried: 2, stillFailing: 2 },
    ],
    routes: [{ route: 'crm', targetRef: 'app.take', formerTargetRefs: [], mode: 'live', breaker: null }],
    excluded: [],
    policy: { canary: 'each', failureLimit: 10, ratePerSecond: 100, attempts: 1 },
    needsApproval: false,
    actor: 'ana',
    reason: 'a test',
    target: project.target,
  });
  expect(made.next).toBe(
    `sluice dead-letter replay ${made.planHash?.slice(0, 16)} --target ${project.target} --reason "…"`,
  );
  expect(await ask(sql, 'select count(*)::integer as answer from app.effect')).toBe(0);
  const { stdout } = await project.run('plan', '--route', 'crm', ...because);
  expect(stdout).toMatch(/plan\s+[0-9a-f]{64}\nletters\s+5 on .*, of them 2 as a canary/);
  expect(stdout).toMatch(/worker_process_error │ [0-9a-f]{16} │ 3\s+│ 3 still failing \(3 of 3\)/);
  expect(stdout).toMatch(/crm\s+│ live │ -\s+│ no\s+│ sql_function app\.take/);
  expect(stdout).toMatch(/\nnext: sluice dead-letter replay [0-9a-f]{16}/);
});

test('what was mended is found out beforehand, and nothing of the try-out stays', async () => {
  await sql.query(`
    create function app.mended(request jsonb) returns jsonb language plpgsql security definer set search_path = app, pg_temp
    as $$ begin
      insert into app.effect (event_id, idempotency_key, request)
      values ((request ->> 'event_ref')::uuid, request ->> 'idempotency_key', request);
      return '{"status": "sent", "delivered": true}';
    end $$;
    alter function app.mended(jsonb) owner to test_app_owner;
    revoke all on function app.mended(jsonb) from public;
    grant execute on function app.mended(jsonb) to iu_core_owner`);
  await setConfig('delivery_functions', 'app.take, app.mended');
  await sql.query(`update iu_outbound_route set target_ref = 'app.mended' where route_code = 'crm'`);
  const made = await plan('--samples', '2');
  expect(made.groups).toMatchObject([
    { letters: 3, tried: 2, fixed: 2 },
    { letters: 2, tried: 2, fixed: 2 },
  ]);
  expect(made.routes).toMatchObject([{ targetRef: 'app.mended', formerTargetRefs: ['app.take'] }]);
  const { stdout } = await project.run('plan', '--samples', '2', ...because);
  expect(stdout).toContain(
    'target changed since the letters were written: crm goes to app.mended; they were meant for app.take',
  );
  expect(stdout).toMatch(/2 fixed \(2 of 3\)/);
  expect(await ask(sql, 'select count(*)::integer as answer from app.effect')).toBe(0);
  await sql.query(`update iu_outbound_route set target_ref = 'app.take' where route_code = 'crm'`);
  const untried = await plan('--no-try-out');
  expect(untried.groups).toMatchObject([{ tried: 0 }, { tried: 0 }]);
});

test('what still fails when it is tried out is pointed at, and left out where that is asked for', async () => {
  await sql.query(`
    create function app.half(request jsonb) returns jsonb language plpgsql security definer set search_path = app, pg_temp
    as $$ begin
      if request #>> '{safe_payload,does}' = 'answers failed' then raise exception 'half of it'; end if;
      return null;
    end $$;
    alter function app.half(jsonb) owner to test_app_owner;
    revoke all on function app.half(jsonb) from public;
    grant execute on function app.half(jsonb) to iu_core_owner`);
  await setConfig('delivery_functions', 'app.take, app.half');
  await sql.query(`update iu_outbound_route set target_ref = 'app.half' where route_code = 'crm'`);
  const { stdout, stderr } = await project.run('plan', '--route', 'crm', '--leave-out-failing', ...because);
  expect(stdout).toContain('2 letters are of kinds that still fail: replayed now they fail again.');
  expect(stderr).toMatch(/left out, since it still fails: 2 letters of [0-9a-f]{16}/);
  const states = `select jsonb_agg(state order by place) as answer from iu_replay_letter
    where plan_hash = (select plan_hash from iu_replay_plan order by created_at desc limit 1)`;
  expect((await ask<string[]>(sql, states)).sort()).toEqual([
    'skipped',
    'skipped',
    'waiting',
    'waiting',
    'waiting',
  ]);
  await sql.query(`update iu_outbound_route set target_ref = 'app.take' where route_code = 'crm'`);
  await setConfig('delivery_functions', 'app.take, app.mended');
});

test('a plan is of the letters and the policy that are asked for', async () => {
  const [first = '', second = ''] = raised;
  const made = await plan(
    ...[first.toUpperCase(), second, '--no-try-out', '--canary', '1', '--canary-failure-limit', '1'],
    ...['--failure-limit', '3', '--rate', 'unlimited', '--attempts', '4', '--initial-interval', '2m'],
    ...['--backoff', '1.5', '--maximum-interval', '1h', '--jitter', '0', '--not-retryable', 'target_failed'],
    ...['--ticket', 'T-9'],
  );
  expect(made).toMatchObject({
    letters: 2,
    canaryLetters: 1,
    filter: { ids: [first, second] },
    reason: 'a test (T-9)',
    policy: {
      canary: 1,
      canaryFailureLimit: 1,
      failureLimit: 3,
      ratePerSecond: null,
      attempts: 4,
      initialIntervalMs: 120_000,
      backoff: 1.5,
      maximumIntervalMs: 3_600_000,
      jitter: 0,
      notRetryable: ['target_failed'],
    },
  });
  expect((await plan('--no-try-out', '--initial-interval', '2m')).policy.maximumIntervalMs).toBe(120_000);
  const fingerprint = made.groups[0]?.fingerprint ?? '';
  const narrow = ['--fingerprint', fingerprint, '--code', 'worker_process_error', '--since', '1h'];
  expect(await plan('--no-try-out', ...narrow, '--max-letters', '1', '--max-replays', '5')).toMatchObject({
    letters: 1,
    filter: { fingerprints: [fingerprint], maxLetters: 1, maxReplays: 5 },
  });
});

test('a filter that matches nothing stores nothing, says so, and ends with 0; what is left alone is told', async () => {
  const before = await plans();
  const { exitCode, stdout } = await project.run('plan', '--route', 'nobody', ...because);
  expect({ exitCode, stdout }).toEqual({
    exitCode: 0,
    stdout: `nothing on ${project.target} is to be replayed; no plan was stored\nno dead letter matches`,
  });
  expect(await plan('--code', 'nobody')).toMatchObject({ planHash: null, letters: 0, next: null });
  await sql.query(`update iu_outbound_route set dry_run = true where route_code = 'crm'`);
  try {
    const dry = await project.run('plan', ...because);
    expect([dry.exitCode, dry.stdout]).toEqual([
      0,
      expect.stringMatching(
        /nothing .* is to be replayed[\s\S]*crm\s+│ 5\s+│ its route is in dry run; --include-dry-run/,
      ),
    ]);
    expect(await plan('--include-dry-run', '--no-try-out')).toMatchObject({
      letters: 5,
      routes: [{ mode: 'dry_run' }],
    });
  } finally {
    await sql.query(`update iu_outbound_route set dry_run = false where route_code = 'crm'`);
  }
  expect(await plans()).toBe(before + 1);
});

test.each([
  [['plan', '--rate', '0'], 2, /ratePerSecond is 0\./],
  [['plan', '--rate', '-5'], 2, /ratePerSecond is -5\./],
  [['plan', '--rate', '1000000000'], 2, /ratePerSecond is 1000000000\..*from 0\.01 to 100000/s],
  [['plan', '--rate', 'fast'], 2, /Expected a number/],
  [['plan', '--attempts', '0'], 2, /attempts is 0\./],
  [['plan', '--attempts', '1.5'], 2, /attempts is 1\.5\..*whole number/s],
  [['plan', '--canary', 'some'], 2, /Expected a number/],
  [['plan', '--maximum-interval', '1ms'], 2, /maximumIntervalMs is 1\./],
  [['plan', '--initial-interval', '9 days'], 2, /whole number and ms, s, m or h/],
  [['plan', '--state', 'resolved'], 2, /Allowed choices are open, parked/],
  [['plan', 'xyz'], 2, /xyz is no id of a dead letter/],
  [['plan', NOBODY], 7, new RegExp(`There is no dead letter ${NOBODY} in database`)],
  [['approve', 'xyz'], 2, /xyz is no hash of a replay plan/],
  [['approve', 'abcdef0'], 2, /At least 8 of its 64 hex digits/],
  [['replay', 'abcdef01'], 7, /has no plan abcdef01/],
  [['replay', 'f'.repeat(64)], 7, /has no plan f{64}/],
  [['replay', 'show', 'abcdef01'], 7, /has no plan abcdef01/],
  [['replay', 'hold', 'abcdef01'], 7, /has no plan abcdef01/],
  [['replay', 'rate', 'abcdef01', '0'], 2, /The rate 0 is none/],
  [['replay', 'rate', 'abcdef01', 'fast'], 2, /The rate fast is none/],
  [['replay', 'rate', 'abcdef01'], 2, /missing required argument/i],
  [['replay', 'skip', 'abcdef01'], 2, /Nothing says what to skip/],
  [['replay', 'skip', 'abcdef01', '--route', 'crm', '--fingerprint', 'x'], 2, /More than one thing/],
  [['replay', 'skip', 'abcdef01', '--id', 'x'], 2, /x is no id/],
  [['replay', 'show', NOBODY], 7, /knows no replay run/],
  [['policy', 'enable', 'nobody', '--yes'], 7, /There is no policy nobody/],
  [['policy', 'set', 'A B'], 2, /Policy A B is not well given/],
  [['policy', 'set', 'bad', '--rate', '0'], 2, /ratePerSecond is 0\./],
])('%j is refused with %i in three sentences', async (args, code, why) => {
  const before = await plans();
  const asks = args[0] !== 'plan' && args[1] !== 'show';
  const reason = args[1] === 'show' ? [] : because;
  const { exitCode, stdout, stderr } = await project.run(...args, ...(asks ? ['--yes'] : []), ...reason);
  expect({ exitCode, stdout }).toEqual({ exitCode: code, stdout: '' });
  expect(stderr).toMatch(why);
  expect(stderr).toMatch(/Nothing was (?:planned or )?changed/);
  expect(await plans()).toBe(before);
});

test('a letter that is resolved, or is discarded, is no letter of a plan', async () => {
  const [id = ''] = failed;
  await project.run('discard', id, '--yes', ...because);
  const { exitCode, stderr } = await project.run('plan', id, ...because);
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(
    /is discarded\.[\s\S]*Only an open or parked letter[\s\S]*dead_letter_refused, exit 3/,
  );
});

test('letters and plans of another target are unknown here; a plan’s target is named', async () => {
  const other = await deadLetterProject();
  try {
    const [id = ''] = await other.die(1);
    const foreign = await project.run('plan', id, ...because);
    expect([foreign.exitCode, foreign.stderr]).toEqual([
      7,
      expect.stringMatching(/another target has its own/),
    ]);
    const made = await other.answer<Planned>('plan', ...because);
    await addTarget(project, 'there', 'OTHER_URL');
    const env = { ...project.env, OTHER_URL: other.database.url };
    for (const verb of [
      ['approve', ...because],
      ['replay', ...because],
      ['replay', 'hold', ...because],
      ['replay', 'show'],
    ]) {
      const args = ['dead-letter', ...verb, made.planHash?.slice(0, 10) ?? ''];
      const { exitCode, stderr } = await runCli(args, { cwd: project.dir, env });
      expect({ verb, exitCode }).toEqual({ verb, exitCode: 7 });
      expect(stderr).toMatch(/it is one of target there\.\s+Pass --target there\./);
    }
  } finally {
    await other.close();
  }
});
