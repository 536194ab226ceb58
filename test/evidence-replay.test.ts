import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { ReplayPlan } from '../contracts/replay.ts';
import { readReplayReport, writeReplayReport } from '../evidence/replay-report.ts';
import { buildApp, functionRoute } from './sql-delivery/support/app-function.ts';
import { installed } from './sql-worker/support/installed.ts';
import { ask, emit, runWorker } from './sql-worker/support/worker.ts';
import type { TestDatabase } from './support/create-database.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const RUN = {
  workflowId: 'replay/here/0123456789abcdef',
  runId: '019aa000-0000-7000-8000-000000000001',
  temporalNamespace: 'default',
  temporalAddress: 'localhost:7233',
  temporalClusterId: 'a',
};
const EXECUTION = {
  runNo: 1,
  runId: RUN.runId,
  status: 'CONTINUED_AS_NEW',
  historyLength: 512,
  startedAt: '2026-01-01T00:00:00.000Z',
  endedAt: null,
  link: null,
};
const HOSTILE = 'mended | <script>alert(1)</script> [x](y) `z`\nsecond line';

describe.each([15, 18] as const)('on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let sql: pg.Client;
  let dir: string;
  beforeAll(async () => {
    database = await installed(major, 'replaying');
    sql = await database.connect();
    await buildApp(sql);
    await functionRoute(sql, 'crm');
    dir = await mkdtemp(join(tmpdir(), 'replay-evidence-'));
  });
  afterAll(async () => {
    await rm(dir, { recursive: true, force: true });
    await database.drop();
  });

  /** Two letters of which one is mended when they are replayed; planned and opened by hand. */
  const opened = async (): Promise<string> => {
    const events = [
      await emit(sql, { does: 'raises' }, 'told'),
      await emit(sql, { does: 'raises', n: 1 }, 'told'),
    ];
    await runWorker(sql, 10);
    const ids = await ask<string[]>(
      sql,
      'select array_agg(dead_letter_id::text) as answer from iu_route_dead_letter where event_id = any ($1)',
      [events],
    );
    const plan = await ask<ReplayPlan>(sql, 'select fn_iu_replay_plan($1, $2, $3, $4) as answer', [
      JSON.stringify({ ids }),
      JSON.stringify({ canary: 0, ratePerSecond: null }),
      'ana',
      HOSTILE,
    ]);
    const hash = plan.planHash ?? '';
    await sql.query('select fn_iu_replay_open($1, $2, $3, $4)', [hash, JSON.stringify(RUN), 'ana', 'a test']);
    return hash;
  };
  const step = (hash: string) =>
    ask<{ status: string }>(sql, `select fn_iu_replay_step($1, $2, 'end', 1, 10) as answer`, [
      hash,
      RUN.runId,
    ]);

  test('the report tells what became of every letter, and its digest changes with that', async () => {
    const hash = await opened();
    const before = await readReplayReport(sql, hash.slice(0, 12));
    expect(before).toMatchObject({
      plan: { planHash: hash, reason: HOSTILE },
      progress: { state: 'running', waiting: 2 },
      groups: [{ route: 'crm', letters: 2, waiting: 2, tries: 0 }],
      stillOpen: [{ route: 'crm' }, { route: 'crm' }],
    });
    for (let steps = 0; (await step(hash)).status === 'working'; steps += 1) expect(steps).toBeLessThan(10);
    await sql.query(`select fn_iu_replay_close($1, $2, 'executed', null)`, [hash, RUN.runId]);
    const after = await readReplayReport(sql, hash);
    expect(after).toMatchObject({
      progress: { state: 'executed', failed: 2, resolved: 0 },
      runs: [{ runNo: 1, runId: RUN.runId, outcome: 'executed' }],
      groups: [{ letters: 2, failed: 2, waiting: 0, tries: 2 }],
      stillOpen: [{ failureCode: 'worker_process_error', because: 'worker_process_error' }, {}],
      conservation: { balanced: true },
    });
    expect(after.story.map(({ what }) => what)).toEqual(['planned', 'opened', 'ended']);
    expect(after.lettersSha256).not.toBe(before.lettersSha256);
    expect((await readReplayReport(sql, hash)).lettersSha256).toBe(after.lettersSha256);

    const files = await writeReplayReport({ ...after, executions: [EXECUTION] }, join(dir, 'reports'));
    const json = await readFile(files.json, 'utf8');
    expect(JSON.parse(json)).toEqual({ ...after, executions: [EXECUTION] });
    expect(createHash('sha256').update(json).digest('hex')).toBe(files.sha256);
    const markdown = await readFile(files.markdown, 'utf8');
    expect(markdown).toContain(`echo "${files.sha256}  replay-${hash.slice(0, 16)}.json" | sha256sum -c`);
    expect(markdown).toContain('**executed: 2 letters, 0 resolved, 2 failed, 0 skipped**');
    expect(markdown).toContain(after.stillOpen[0]?.id);
    expect(markdown).toContain(`| 1 | ${RUN.runId} | continued as new | 512 |`);
    expect(markdown).not.toContain('<script>');
    expect(markdown).toContain('mended \\| &lt;script&gt;');
    for (const line of markdown.split('\n').filter((text) => text.startsWith('|')))
      expect(line).toMatch(/^\|.*\|$/);
    expect((await readdir(join(dir, 'reports'))).sort()).toEqual([
      `replay-${hash.slice(0, 16)}.json`,
      `replay-${hash.slice(0, 16)}.md`,
    ]);
  });

  test('a report that is written again replaces the older one, whole', async () => {
    const hash = await opened();
    const first = await writeReplayReport(await readReplayReport(sql, hash), dir);
    await step(hash);
    const second = await writeReplayReport(await readReplayReport(sql, hash), dir);
    expect(second.json).toBe(first.json);
    expect(second.sha256).not.toBe(first.sha256);
    expect(
      createHash('sha256')
        .update(await readFile(second.json))
        .digest('hex'),
    ).toBe(second.sha256);
    expect(await readFile(second.markdown, 'utf8')).toContain('1 not yet settled');
    expect(await readdir(dir).then((names) => names.filter((name) => name.endsWith('.part')))).toEqual([]);
  });

  test('a plan that is unknown has no report', async () => {
    await expect(readReplayReport(sql, 'abcdef01')).rejects.toThrow(/has no plan abcdef01/);
  });
});
