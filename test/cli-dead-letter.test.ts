import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type DeadLetterProject, deadLetterProject } from './dead-letter-support/dead-letter-project.ts';
import { ask } from './sql-worker/support/worker.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

interface Group {
  readonly route: string | null;
  readonly fingerprint: string;
  readonly code: string;
  readonly letters: number;
  readonly replays: number;
}
interface Listed<T = Record<string, unknown>> {
  readonly total: { readonly letters: number; readonly groups: number };
  readonly next: string | null;
  readonly groups: readonly (Group & Record<string, unknown>)[];
  readonly letters: readonly T[];
}

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

const list = (...args: string[]) => project.answer<Listed<{ id: string }>>('list', ...args);
const stateOf = (id: string) =>
  ask<string>(sql, 'select state as answer from iu_route_dead_letter where dead_letter_id = $1', [id]);
const fingerprintOf = (id: string) =>
  ask<string>(sql, 'select fingerprint as answer from iu_route_dead_letter where dead_letter_id = $1', [id]);

test('list groups open letters by route and kind of failure, the one that failed last first', async () => {
  const listed = await list();
  expect(listed).toMatchObject({
    filter: { state: ['open'] },
    total: { letters: 5, groups: 2 },
    next: null,
    groups: [
      { route: 'crm', code: 'target_failed', letters: 2, replays: 0, mostReplays: 0 },
      { route: 'crm', code: 'worker_process_error', letters: 3 },
    ],
  });
  expect(Object.keys(listed.groups[0] ?? {})).toEqual([
    'route',
    'fingerprint',
    'code',
    'message',
    'letters',
    'states',
    'firstFailedAt',
    'lastFailedAt',
    'replays',
    'mostReplays',
  ]);
  expect(listed.groups[1]?.message).toMatch(/^no room for [0-9a-f-]{36}$/);
  const { stdout, exitCode } = await project.run('list');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/crm\s+│ worker_process_error │ [0-9a-f]{16} │ 3 .*no room for/);
  expect(stdout).toContain('5 letters of 2 kinds of failure');
});

test('list filters by route, code, fingerprint, state and time, and says where nothing matches', async () => {
  const fingerprint = await fingerprintOf(raised[0] ?? '');
  expect((await list('--fingerprint', fingerprint)).total.letters).toBe(3);
  expect((await list('--code', 'target_failed', '--route', 'crm')).total.letters).toBe(2);
  expect((await list('--since', '1h')).total.letters).toBe(5);
  expect((await list('--until', '1h')).total.letters).toBe(0);
  for (const nothing of [
    ['--route', 'nobody'],
    ['--state', 'parked'],
    ['--letters', '--code', 'nobody'],
    ['--since', '2000-01-01', '--until', '2000-01-02'],
  ]) {
    const { exitCode, stdout } = await project.run('list', ...nothing);
    expect({ nothing, exitCode, stdout }).toEqual({ nothing, exitCode: 0, stdout: 'no dead letter matches' });
  }
});

test('a list comes in pages that together have every row once', async () => {
  const seen: string[] = [];
  let after: string[] = [];
  for (let pages = 0; pages < 4; pages += 1) {
    const page = await list('--letters', '--limit', '2', ...after);
    expect(page.total).toEqual({ letters: 5, groups: 2 });
    seen.push(...page.letters.map(({ id }) => id));
    if (page.next === null) break;
    after = ['--after', page.next];
  }
  expect(seen).toEqual([...seen].sort().reverse());
  expect(new Set(seen)).toEqual(new Set([...raised, ...failed]));
  const first = await list('--limit', '1');
  const second = await list('--limit', '1', '--after', first.next ?? '');
  expect([first, second].flatMap(({ groups }) => groups.map(({ code }) => code))).toEqual([
    'target_failed',
    'worker_process_error',
  ]);
  expect(second.next).toBeNull();
  expect((await project.run('list', '--limit', '1')).stdout).toContain(`go on with --after ${first.next}`);
});

test.each([
  [['list', '--after', 'nowhere'], 2, /--after is no place in this list/],
  [['list', '--limit', '0'], 2, /whole number from 1 on/],
  [['list', '--limit', '10001'], 2, /at most 10000/],
  [['list', '--state', 'lost'], 2, /open, parked, resolved, discarded/],
  [['list', '--since', 'yesterday'], 2, /a duration ago such as 2h/],
  [['list', '--since', '1h', '--until', '2h'], 2, /is not after --since/],
  [['list', '--fingerprint', 'xyz'], 2, /16 hex digits/],
  [['show', 'xyz'], 2, /xyz is neither an id nor a fingerprint/],
  [['show', NOBODY], 7, /There is no dead letter 019aa000-.* on target/],
  [['show', '0123456789abcdef'], 7, /No dead letter on target .* has the fingerprint/],
  [['park', ...because], 2, /No letter is named/],
  [['park', 'xyz', ...because], 2, /xyz is no id of a dead letter/],
  [['park', NOBODY, '--route', 'crm', ...because], 2, /Ids and a filter are given/],
  [['park', NOBODY, ...because], 7, new RegExp(`There is no dead letter ${NOBODY}`)],
  [['park', NOBODY, '--reason', ' '], 2, /--reason is missing or empty/],
  [['discard', NOBODY], 2, /--reason is missing or empty/],
  [['discard', NOBODY, ...because], 2, /Pass --yes/],
  [['unpark', '--route', 'crm', '--since', '1h'], 2, /--reason is missing or empty/],
])('%j is refused with %i in three sentences', async (args, code, why) => {
  const { exitCode, stdout, stderr } = await project.run(...args);
  expect({ exitCode, stdout }).toEqual({ exitCode: code, stdout: '' });
  expect(stderr).toMatch(why);
  expect(stderr).toMatch(/Nothing was changed/);
});

test('the second page of one list is no place in the other', async () => {
  const { next } = await list('--limit', '1');
  expect((await project.run('list', '--letters', '--after', next ?? '')).exitCode).toBe(2);
});

test('show tells the event, the route then and now, both failures, every attempt, and what became of it', async () => {
  const [id = ''] = raised;
  const shown = await project.answer<Record<string, unknown>>('show', id);
  expect(shown).toMatchObject({
    id,
    state: 'open',
    route: 'crm',
    replays: 0,
    event: { event_domain: 'iu', event_type: 'told', payload: { does: 'raises', n: 0 } },
    routeThen: { kind: 'sql_function', target: 'app.take' },
    routeNow: { kind: 'sql_function', target: 'app.take' },
    targetChanged: false,
    firstFailure: { attemptNo: 1, code: 'worker_process_error' },
    lastFailure: { attemptNo: 1, code: 'worker_process_error' },
    attempts: [{ attemptNo: 1, status: 'failed', failure: 'worker_process_error', target: 'app.take' }],
    states: [{ state: 'open', actor: null }],
    plans: [],
  });
  await sql.query(`select fn_iu_route_dead_letter_replay($1, 'bo', 'again')`, [id]);
  await sql.query(`update iu_outbound_route set target_ref = 'app.take2' where route_code = 'crm'`);
  try {
    expect(await project.answer('show', id.toUpperCase())).toMatchObject({
      replays: 1,
      targetChanged: true,
      routeNow: { target: 'app.take2' },
      lastFailure: { attemptNo: 2 },
      attempts: [{ attemptNo: 1 }, { attemptNo: 2 }],
    });
    const { stdout } = await project.run('show', id);
    expect(stdout).toMatch(/target then\s+sql_function app\.take\n/);
    expect(stdout).toMatch(/target now\s+sql_function app\.take2 — changed since the letter was written/);
    expect(stdout).toMatch(/first failure.*attempt 1, worker_process_error: no room for/);
    expect(stdout).toMatch(/last failure.*attempt 2/);
    expect(stdout).toContain('"does":"raises"');
  } finally {
    await sql.query(`update iu_outbound_route set target_ref = 'app.take' where route_code = 'crm'`);
  }
});

test('show tells a kind of failure with its newest letters', async () => {
  const fingerprint = await fingerprintOf(failed[0] ?? '');
  expect(await project.answer('show', fingerprint)).toMatchObject({
    fingerprint,
    code: 'target_failed',
    letters: 2,
    newest: [{ id: failed[1] }, { id: failed[0] }],
  });
  expect((await project.run('show', fingerprint)).stdout).toContain(failed[0]);
});

test('letters are parked by id and taken up again, by whom and why', async () => {
  const [id = ''] = raised;
  const dry = await project.answer('park', id, '--dry-run', ...because);
  expect(dry).toMatchObject({ verb: 'park', dryRun: true, matched: 1, changed: 0 });
  expect(await stateOf(id)).toBe('open');
  expect(await project.answer('park', id, '--ticket', 'T-1', ...because)).toMatchObject({
    matched: 1,
    changed: 1,
    ids: [id],
    actor: 'ana',
    reason: 'a test (T-1)',
  });
  expect(await project.answer('show', id)).toMatchObject({
    state: 'parked',
    states: [{ state: 'open' }, { state: 'parked', actor: 'ana', reason: 'a test (T-1)' }],
  });
  expect((await list('--state', 'parked', '--state', 'open')).total.letters).toBe(5);
  expect((await list()).total.letters).toBe(4);
  expect((await project.run('list', '--state', 'open', '--state', 'parked')).stdout).toContain(
    '3 (2 open, 1 parked)',
  );
  expect((await project.run('unpark', '--route', 'crm', '--yes', ...because)).stdout).toBe(
    '1 of 1 open again',
  );
  expect(await stateOf(id)).toBe('open');
  expect((await project.run('show', id)).stdout).toMatch(/opened again\s+\S+ by ana: a test/);
});

test('a filter is counted and asked about before letters are given up, and final ones stay so', async () => {
  const fingerprint = await fingerprintOf(failed[0] ?? '');
  const unasked = await project.run('discard', '--fingerprint', fingerprint, ...because);
  expect([unasked.exitCode, unasked.stderr]).toEqual([
    2,
    expect.stringMatching(/discard 2 dead letters on .*A discarded letter stays so\..*--yes/s),
  ]);
  expect((await project.run('discard', '--fingerprint', fingerprint, '--dry-run', ...because)).stdout).toBe(
    '2 would be discarded',
  );
  expect(await project.answer('discard', '--fingerprint', fingerprint, '--yes', ...because)).toMatchObject({
    matched: 2,
    changed: 2,
  });
  expect(await stateOf(failed[0] ?? '')).toBe('discarded');
  expect((await project.run('discard', '--fingerprint', fingerprint, '--yes', ...because)).stdout).toBe(
    'no dead letter matches',
  );
  for (const verb of ['park', 'unpark']) {
    const { exitCode, stderr } = await project.run(verb, failed[0] ?? '', raised[1] ?? '', ...because);
    expect({ verb, exitCode }).toEqual({ verb, exitCode: 3 });
    expect(stderr).toMatch(/is discarded\.[\s\S]*stays so\.[\s\S]*Nothing was changed/);
  }
  expect(await stateOf(raised[1] ?? '')).toBe('open');
});
