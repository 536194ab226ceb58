import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { ReplayPlan, ReplayProgress } from '../contracts/replay.ts';
import { type DeadLetterProject, deadLetterProject } from './dead-letter-support/dead-letter-project.ts';
import { ask } from './sql-worker/support/worker.ts';
import { waitFor } from './support/wait-for.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

interface Ended extends ReplayProgress {
  readonly outcome: string | null;
  readonly because: string | null;
  readonly workflowId: string;
}
interface Shown {
  readonly plan: ReplayPlan;
  readonly progress: ReplayProgress;
  readonly runs: readonly {
    readonly runNo: number;
    readonly runId: string;
    readonly outcome: string | null;
  }[];
  readonly story: readonly { readonly what: string; readonly actor: string; readonly reason: string }[];
  readonly executions: readonly {
    readonly runNo: number | null;
    readonly status: string;
    readonly historyLength: number;
    readonly endedAt: string | null;
    readonly link: string | null;
  }[];
  readonly evidence: { readonly markdown: string; readonly json: string; readonly sha256: string } | null;
}

const because = ['--reason', 'a test'];
const yes = ['--yes', ...because];

let project: DeadLetterProject;
let sql: pg.Client;
beforeAll(async () => {
  project = await deadLetterProject({ worker: true });
  sql = project.sql;
});
afterAll(() => project.close());

/** Lets so many events die, and plans the replay of exactly those. */
const planned = async (letters: number, does: string, ...args: string[]): Promise<string> => {
  const ids = await project.die(letters, does);
  const { planHash } = await project.answer<ReplayPlan>('plan', ...ids, '--no-try-out', ...args, ...because);
  if (planHash === null) throw new Error('nothing was planned');
  return planHash;
};
const replay = async (...args: string[]) => {
  const { exitCode, stdout, stderr } = await project.run('replay', ...args, ...yes, '--json');
  return { exitCode, stderr, ended: stdout === '' ? null : (JSON.parse(stdout) as Ended) };
};
const show = (hash: string) => project.answer<Shown>('replay', 'show', hash);
const progressOf = (hash: string) =>
  ask<ReplayProgress>(sql, `select fn_iu_replay_read($1) -> 'progress' as answer`, [hash]);

/** Events that die of a function that is down, which is up again when they are planned. */
const diedMeanwhile = async (letters: number, ...args: string[]): Promise<string> => {
  await sql.query(`alter function app.take(jsonb) rename to take_for_good`);
  try {
    await sql.query(
      `create function app.take(request jsonb) returns jsonb language sql security definer
       as $$ select jsonb_build_object('status', 'failed', 'detail', jsonb_build_object('why', 'down')) $$;
       alter function app.take(jsonb) owner to test_app_owner;
       revoke all on function app.take(jsonb) from public;
       grant execute on function app.take(jsonb) to iu_core_owner`,
    );
    return await planned(letters, 'is down', ...args);
  } finally {
    await sql.query(`drop function app.take(jsonb); alter function app.take_for_good(jsonb) rename to take`);
  }
};

describe('a run to its end', () => {
  test('letters that still fail stay open, and the exit code says so', async () => {
    const hash = await planned(3, 'raises', '--canary', '0', '--attempts', '2', '--initial-interval', '10ms');
    const { exitCode, ended, stderr } = await replay(hash.slice(0, 8));
    expect(exitCode).toBe(5);
    expect(ended).toMatchObject({
      target: project.target,
      outcome: 'executed',
      planHash: hash,
      letters: 3,
      resolved: 0,
      failed: 3,
      tries: 6,
      workflowId: `replay/${project.target}/${hash.slice(0, 16)}`,
    });
    expect(stderr).toMatch(/^started: http.*replay%2F/m);
    expect(stderr).toMatch(/3 of 3 letters \(100 %\)|of 3 letters/);
  });

  test('a canary that fails stops the run', async () => {
    const hash = await planned(2, 'answers failed');
    const { exitCode, ended } = await replay(hash);
    expect({ exitCode, ended }).toMatchObject({ exitCode: 5, ended: { outcome: 'stopped', failed: 1 } });
    expect((await project.run('replay', 'watch', hash)).stdout).toMatch(/^stopped \(.*\): 1 of 2 letters/);
    const again = await project.run('replay', hash, ...yes);
    expect([again.exitCode, again.stderr]).toEqual([
      8,
      expect.stringMatching(/is stopped already[\s\S]*replay_ended/),
    ]);
  });

  test('after the cause is mended, the canary goes first and the rest later; an executed plan is executed once', async () => {
    const hash = await planned(4, 'raises');
    await project.mend();
    const dry = await project.run('replay', hash, '--dry-run', ...because);
    expect(dry.stdout).toContain(`would replay 4 dead letters on ${project.target}`);
    const unasked = await project.run('replay', hash, ...because);
    expect([unasked.exitCode, unasked.stderr]).toEqual([2, expect.stringContaining('--yes')]);
    const unsaid = await project.run('replay', hash, '--yes');
    expect([unsaid.exitCode, unsaid.stderr]).toEqual([2, expect.stringContaining('--reason is missing')]);
    expect((await show(hash)).executions).toEqual([]);

    const canary = await replay(hash, '--until', 'canary');
    expect(canary).toMatchObject({
      exitCode: 0,
      ended: { outcome: 'canary_passed', resolved: 1, waiting: 3 },
    });
    const rest = await replay(hash);
    expect(rest).toMatchObject({
      exitCode: 0,
      ended: { outcome: 'executed', resolved: 4, failed: 0, tries: 4 },
    });

    const { exitCode, stderr } = await replay(hash);
    expect(exitCode).toBe(8);
    expect(JSON.parse(stderr.split('\n').find((line) => line.startsWith('{')) ?? '')).toMatchObject({
      error: { code: 'replay_ended', exit: 8, what: expect.stringMatching(/is executed already/) },
    });

    const shown = await show(`replay/${project.target}/${hash.slice(0, 16)}`);
    expect(shown).toMatchObject({
      target: project.target,
      plan: { planHash: hash },
      progress: { state: 'executed', resolved: 4 },
      runs: [
        { runNo: 1, outcome: 'canary_passed' },
        { runNo: 2, outcome: 'executed' },
      ],
      executions: [
        { runNo: 1, status: 'COMPLETED', endedAt: expect.any(String), link: expect.stringMatching(/^http/) },
        { runNo: 2, status: 'COMPLETED' },
        { runNo: null, status: 'FAILED' },
      ],
      problem: null,
      evidence: null,
    });
    for (const { historyLength } of shown.executions) expect(historyLength).toBeGreaterThan(3);
    expect(shown.story.map(({ what }) => what)).toEqual([
      'planned',
      'opened',
      'canary_passed',
      'ended',
      'opened',
      'ended',
    ]);
    expect((await show(shown.runs[1]?.runId ?? '')).plan.planHash).toBe(hash);
    const text = await project.run('replay', 'show', hash.slice(0, 8));
    expect(text.stdout).toMatch(/2\s+│ completed │ \d+/);
    expect(text.stdout).toMatch(/canary passed/);
  });

  test('the evidence is written as Markdown and JSON, and the Markdown names the digest of the JSON', async () => {
    // The function takes every event by now; what died before it was mended is left.
    const { planHash: hash } = await project.answer<ReplayPlan & { planHash: string }>(
      ...['plan', '--no-try-out', ...because],
    );
    expect((await replay(hash)).exitCode).toBe(0);
    const { evidence } = await project.answer<Shown>('replay', 'show', hash, '--evidence', 'reports');
    const json = await readFile(evidence?.json ?? '', 'utf8');
    expect(createHash('sha256').update(json).digest('hex')).toBe(evidence?.sha256);
    expect(JSON.parse(json)).toMatchObject({
      plan: { planHash: hash },
      progress: { state: 'executed' },
      stillOpen: [],
      lettersSha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      conservation: { balanced: true },
      executions: [{ runNo: 1, status: 'COMPLETED' }],
    });
    const markdown = await readFile(evidence?.markdown ?? '', 'utf8');
    expect(markdown).toContain(evidence?.sha256);
    expect(markdown).toMatch(/^\*\*executed: /m);
  });
});

describe('a run that is steered', () => {
  const SLOW = ['--rate', '0.2', '--canary', '0', '--failure-limit', '1000'];

  let hash = '';
  let last = '';

  test('a hold is by whom and why; following ends and leaves it going', async () => {
    hash = await diedMeanwhile(40, ...SLOW);
    const detached = await project.run('replay', hash, '--detach', ...yes);
    expect(detached.exitCode).toBe(0);
    expect(detached.stdout).toMatch(/is being replayed[\s\S]*sluice dead-letter replay watch [0-9a-f]{16}/);
    expect(
      await project.answer('replay', 'hold', hash.slice(0, 8), '--ticket', 'T-2', ...because),
    ).toMatchObject({
      verb: 'hold',
      actor: 'ana',
      progress: { heldBy: 'ana', heldBecause: 'a test (T-2)' },
    });
    const second = await project.run('replay', hash, ...yes);
    expect(second.exitCode).toBe(8);
    expect(second.stderr).toMatch(/is being replayed: http\S+replay%2F[\s\S]*replay watch/);
    const timed = await project.run('replay', 'watch', hash, '--timeout', '500ms');
    expect([timed.exitCode, timed.stderr]).toEqual([
      6,
      expect.stringMatching(/held by ana[\s\S]*The time is over; the run goes on/),
    ]);
    const watching = project.spawn('dead-letter', 'replay', 'watch', hash);
    let said = '';
    watching.stderr.on('data', (part) => {
      said += String(part);
    });
    await waitFor(async () => said.includes('held by ana'), 60_000);
    watching.kill('SIGINT');
    const { exitCode, stderr } = await watching;
    expect(exitCode).toBe(130);
    expect(stderr).toMatch(/Interrupted; the run goes on\.[\s\S]*replay watch [\s\S]*replay cancel/);
  });

  test('it is shortened, slowed and released', async () => {
    const { rows } = await sql.query<{ id: string }>(
      `select dead_letter_id as id from iu_replay_letter where plan_hash = $1 order by place desc limit 1`,
      [hash],
    );
    last = rows[0]?.id ?? '';
    expect(await project.answer('replay', 'skip', hash, '--id', last, ...because)).toMatchObject({
      progress: { skipped: 1 },
    });
    const nobody = '019aa000-0000-7000-8000-000000000000';
    const foreign = await project.run('replay', 'skip', hash, '--id', nobody, ...because);
    expect([foreign.exitCode, foreign.stderr]).toEqual([
      7,
      expect.stringMatching(/The plan has no dead letter/),
    ]);
    expect(await project.answer('replay', 'rate', hash, '0.25', ...because)).toMatchObject({
      ratePerSecond: 0.25,
      progress: { ratePerSecond: 0.25 },
    });
    expect(await project.answer('replay', 'release', hash, ...because)).toMatchObject({
      progress: { heldBy: null },
    });
    await waitFor(async () => (await progressOf(hash)).resolved > 0, 60_000);
  });

  test('a cancellation leaves the rest open, and a new run goes on and repeats nothing', async () => {
    const unasked = await project.run('replay', 'cancel', hash, ...because);
    expect([unasked.exitCode, unasked.stderr]).toEqual([2, expect.stringContaining('--yes')]);
    expect((await project.run('replay', 'cancel', hash, ...yes)).exitCode).toBe(0);
    const ended = await project.run('replay', 'watch', hash);
    expect([ended.exitCode, ended.stdout]).toEqual([
      5,
      expect.stringMatching(/^cancelled: [\s\S]*the rest: sluice dead-letter replay/),
    ]);
    for (const verb of ['hold', 'cancel']) {
      const none = await project.run('replay', verb, hash, ...yes);
      expect([verb, none.exitCode, none.stderr]).toEqual([
        verb,
        7,
        expect.stringMatching(/No run of plan [0-9a-f]{16} is open/),
      ]);
    }
    expect((await progressOf(hash)).state).toBe('cancelled');
    expect((await project.run('replay', hash, '--detach', ...yes)).exitCode).toBe(0);
    await project.answer('replay', 'rate', hash, 'unlimited', ...because);
    const done = await project.answer<Ended>('replay', 'watch', hash);
    expect(done).toMatchObject({ outcome: 'executed', resolved: 39, skipped: 1, failed: 0, tries: 39 });
    const { story, runs } = await show(hash);
    expect(story.map(({ what, actor }) => `${what} ${actor}`)).toEqual(
      expect.arrayContaining(['hold ana', 'skip ana', 'rate ana', 'release ana']),
    );
    expect(runs.map(({ outcome }) => outcome)).toEqual(['cancelled', 'executed']);
    expect(await project.answer('show', last)).toMatchObject({
      state: 'open',
      plans: [{ planHash: hash, planState: 'executed', state: 'skipped', because: 'skipped_by_request' }],
    });
  });

  test('two plans with the same letters do not run at once, and the second is told which run is in its way', async () => {
    const first = await diedMeanwhile(40, ...SLOW);
    const { rows } = await sql.query<{ id: string }>(
      `select dead_letter_id as id from iu_replay_letter where plan_hash = $1 order by place desc limit 2`,
      [first],
    );
    const ids = rows.map(({ id }) => id);
    const { planHash } = await project.answer<ReplayPlan>('plan', ...ids, '--no-try-out', ...because);
    await project.run('replay', first, '--detach', ...yes);
    await project.answer('replay', 'hold', first, ...because);
    const { exitCode, stderr } = await project.run('replay', planHash ?? '', ...yes);
    expect(exitCode).toBe(8);
    expect(stderr).toMatch(/shares letters with plan [0-9a-f]{16}/);
    expect(stderr).toContain(`replay/${project.target}/${first.slice(0, 16)}`);
    await project.answer('replay', 'rate', first, 'unlimited', ...because);
    await project.answer('replay', 'release', first, ...because);
    expect((await project.run('replay', 'watch', first)).exitCode).toBe(0);
  });

  test('a closed gate holds a run, which says so and goes on when it opens', async () => {
    const hash = await diedMeanwhile(3);
    const gate = (value: string) =>
      sql.query(`update dot_config set value = $1 where key = 'iu_core.delivery_enabled'`, [value]);
    await gate('false');
    try {
      const running = project.spawn('dead-letter', 'replay', hash, ...yes);
      let said = '';
      running.stderr.on('data', (part) => {
        said += String(part);
      });
      await waitFor(async () => /held by gate: .*gate/.test(said), 60_000);
      await gate('true');
      const { exitCode, stdout } = await running;
      expect({ exitCode, stdout }).toEqual({
        exitCode: 0,
        stdout: expect.stringMatching(/^executed: 3 of 3/),
      });
    } finally {
      await gate('true');
    }
  });
});

test('a plan that nobody approved, or that is stale, is refused by its run, with nothing tried', async () => {
  const above = (letters: string) =>
    sql.query(`update dot_config set value = $1 where key = 'iu_core.replay_approval_above'`, [letters]);
  await above('1');
  const hash = await diedMeanwhile(2);
  await above('1000');
  const unapproved = await project.run('replay', hash, ...yes);
  expect([unapproved.exitCode, unapproved.stderr]).toEqual([
    3,
    expect.stringMatching(
      /nobody has approved it[\s\S]*sluice dead-letter approve[\s\S]*replay_not_approved, exit 3/,
    ),
  ]);
  await project.answer('approve', hash, '--actor', 'bo', ...because);
  await sql.query(`update iu_outbound_route set config = '{"timeout_ms": 7}' where route_code = 'crm'`);
  const stale = await project.run('replay', hash, ...yes);
  expect([stale.exitCode, stale.stderr]).toEqual([
    3,
    expect.stringMatching(/is stale: route crm was changed[\s\S]*replay_stale, exit 3/),
  ]);
  const detached = await project.run('replay', hash, '--detach', ...yes);
  expect([detached.exitCode, detached.stdout]).toEqual([3, '']);
  expect(await progressOf(hash)).toMatchObject({ state: 'planned', tries: 0 });
  await sql.query(`update iu_outbound_route set config = '{}' where route_code = 'crm'`);
  expect((await replay(hash)).ended).toMatchObject({ outcome: 'executed', resolved: 2 });
});

test('a schedule replays by itself what a policy that is switched on allows', async () => {
  await diedMeanwhile(3);
  const fresh = ['--min-age', '0s', '--max-letters', '2', '--canary', '0'];
  await project.answer('policy', 'set', 'crm-all', '--route', 'crm', ...fresh, ...because);
  await project.answer('policy', 'enable', 'crm-all', ...yes);
  const applied = await project.json('schedule', 'apply', 'replay', '--every', '1s', ...because);
  try {
    expect(applied).toMatchObject({
      schedule: `sluice/${project.target}/replay`,
      applied: 'created',
      input: { target: project.target, actor: 'ana', reason: 'a test' },
    });
    await waitFor(
      async () =>
        (await project.answer<{ total: { letters: number } }>('list', '--route', 'crm')).total.letters === 0,
      60_000,
    );
    const plans = await project.answer<{ policy: string | null; letters: number }[]>('plans');
    expect(plans.filter(({ policy }) => policy === 'crm-all').map(({ letters }) => letters)).toContain(2);
  } finally {
    await project.sluice('schedule', 'delete', 'replay', '--yes');
  }
});
