import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FORBIDDEN_ACTIONS } from '../contracts/forbidden-actions.ts';
import { collectEvidence } from '../evidence/collect-evidence.ts';
import type { Evidence } from '../evidence/evidence-document.ts';
import { renderHtml } from '../evidence/render-html.ts';
import { renderJson } from '../evidence/render-json.ts';
import { renderMarkdown } from '../evidence/render-markdown.ts';
import { verifyEvidence } from '../evidence/verify-evidence.ts';
import { writeReport } from '../evidence/write-report.ts';
import { installEngine } from '../target/install-engine.ts';
import { Recorder } from './fixtures/evidence/recorder.ts';
import {
  recordCancelled,
  recordDisabled,
  recordNeedsAction,
  recordSucceeded,
  recordUndoOf,
  recordUnfinished,
  worldPlan,
} from './fixtures/evidence/runs.ts';
import { createDatabase } from './support/create-database.ts';

const ATTACK = `Window <script>alert('x')</script> | "q" & \`b\` <img src=x onerror=alert(1)>`;
type Scenario = 'succeeded' | 'cancelled' | 'needsAction' | 'disabled' | 'takenBack' | 'undo' | 'unfinished';
const SCENARIOS: readonly Scenario[] = [
  'succeeded',
  'cancelled',
  'needsAction',
  'disabled',
  'takenBack',
  'undo',
  'unfinished',
];

describe.each([15, 18] as const)('evidence of runs on PostgreSQL %i', (major) => {
  let client: pg.Client;
  let dir: string;
  const id = {} as Record<Scenario, string>;
  const of = {} as Record<Scenario, Evidence>;
  const statesOf = (evidence: Evidence) => evidence.steps.map((step) => step.state);
  const stepOf = (evidence: Evidence, stepId: string) => {
    const step = evidence.steps.find((one) => one.id === stepId);
    if (step === undefined) throw new Error(`no step ${stepId}`);
    return step;
  };

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'sluice-evidence-'));
    const database = await createDatabase({ major, prefix: 'evidence' });
    client = await database.connect();
    await installEngine(client);
    const recorder = new Recorder(client, '2025-11-21T02:10:00.250Z');
    const plan = await worldPlan(recorder);
    id.succeeded = await recordSucceeded(recorder, plan, ATTACK);
    id.cancelled = await recordCancelled(recorder.pass(600_000), plan);
    id.needsAction = await recordNeedsAction(recorder.pass(600_000), plan);
    id.disabled = await recordDisabled(recorder.pass(600_000), plan);
    id.takenBack = await recordSucceeded(recorder.pass(600_000), plan);
    id.undo = await recordUndoOf(recorder, plan, id.takenBack);
    id.unfinished = await recordUnfinished(recorder.pass(600_000), plan);
    for (const name of SCENARIOS) of[name] = await collectEvidence(client, id[name]);
  });

  afterAll(async () => {
    await rm(dir, { recursive: true, force: true });
  });

  it('a succeeded run says what is in effect, names the next macro and leaves nothing to do', () => {
    const { summary, run, controls, observations } = of.succeeded;
    expect(summary).toEqual({
      tone: 'good',
      headline: 'Succeeded',
      trueNow: ['All 9 steps passed.', 'In effect: install, open-gate.', 'Ran, and has no undo: drain.'],
      leftToDo: [],
      next: 'first-live-delivery',
    });
    expect(run).toMatchObject({
      runNo: 1,
      actor: { claimed: 'ana', temporalIdentity: '4711@ops-host' },
      fingerprint: { equal: true },
      ticket: 'OPS-311',
    });
    expect(controls).toMatchObject([
      { action: 'approve', actor: { claimed: 'ben', temporalIdentity: '4712@ops-host' } },
    ]);
    expect(observations.map((one) => [one.metric, one.samples.length])).toEqual([
      ['backlog', 20],
      ['oldest_unrouted', 20],
    ]);
  });

  it('a step that failed once and then passed keeps both attempts', () => {
    const step = stepOf(of.succeeded, 'open-gate');
    expect(step).toMatchObject({ state: 'done', verdict: 'pass', attempts: 2, effect: 'in_effect' });
    expect(step.failures).toMatchObject([{ code: 'lock_timeout', attempt: 1 }]);
  });

  it('a cancelled run says that it was rolled back and that definitions are those of the start', () => {
    const { summary, steps } = of.cancelled;
    expect(summary.headline).toBe('Rolled back');
    expect(summary.next).toBeNull();
    expect(summary.trueNow).toContain('Taken back: install, open-gate.');
    expect(summary.trueNow.join(' ')).toContain('equal fingerprints');
    expect(summary.trueNow.join(' ')).toContain('Cause: cancelled by carla');
    expect(steps.map((step) => [step.id, step.state, step.undo])).toContainEqual([
      'observe',
      'stopped',
      null,
    ]);
    expect(stepOf(of.cancelled, 'install')).toMatchObject({ undo: 'undone', effect: 'taken_back' });
  });

  it('a run that needs action says which step stands, why, and how to finish by hand', () => {
    const { summary } = of.needsAction;
    expect(summary.tone).toBe('bad');
    expect(summary.trueNow[0]).toBe('In effect: install.');
    expect(summary.trueNow.join(' ')).toContain('The undo of install failed: rollback/009_functions.sql');
    expect(summary.leftToDo).toMatchObject([
      { stepId: 'install', how: expect.stringContaining('macro rollback') },
    ]);
    expect(stepOf(of.needsAction, 'open-gate')).toMatchObject({
      state: 'failed',
      undo: 'voided',
      effect: 'none',
    });
    for (const text of [renderMarkdown(of.needsAction), renderHtml(of.needsAction)]) {
      expect(text).toContain('sluice macro rollback 3');
    }
  });

  it('a run whose rollback was refused tells the disable steps that ran', () => {
    expect(of.disabled.summary.headline).toBe('Disabled, not rolled back');
    expect(of.disabled.disable).toMatchObject([
      { id: 'disable-l0', kind: 'disable', state: 'done', verdict: 'pass' },
    ]);
    expect(stepOf(of.disabled, 'install').undo).toBe('refused');
  });

  it('a run that an undo run took back tells both runs and carries the undo receipts', () => {
    const { summary, takenBackBy, relatedChains, run } = of.takenBack;
    expect(run.outcome).toBe('succeeded');
    expect(summary.headline).toBe('Succeeded, then taken back');
    expect(summary.next).toBeNull();
    expect(takenBackBy).toMatchObject([{ runId: id.undo, kind: 'undo', outcome: 'rolled_back' }]);
    expect(relatedChains.map((chain) => chain.runId)).toEqual([id.undo]);
    const undone = stepOf(of.takenBack, 'install').receipts.filter((receipt) => receipt.direction === 'undo');
    expect(undone.map((receipt) => [receipt.byRunId, receipt.state])).toEqual([
      [id.undo, 'undone'],
      [id.undo, 'undone'],
    ]);
  });

  it('an undo run tells the run that it takes back', () => {
    expect(of.undo.takesBack).toMatchObject({ runId: id.takenBack, outcome: 'succeeded' });
    expect(of.undo.summary.headline).toBe('Took run #5 (worker-live-dry-run) back');
    expect(of.undo.steps.filter((step) => step.undo === 'undone').map((step) => step.id)).toEqual([
      'install',
      'open-gate',
    ]);
  });

  it('an unfinished run is reported as such, with the step it stands at', () => {
    expect(of.unfinished.run).toMatchObject({
      outcome: null,
      finishedAt: null,
      fingerprint: { equal: null },
    });
    expect(of.unfinished.summary.headline).toBe('Unfinished');
    expect(of.unfinished.summary.next).toBeNull();
    expect(statesOf(of.unfinished).slice(2, 5)).toEqual(['done', 'current', 'not_reached']);
  });

  it('every forbidden action is accounted for, and what only the lint shows is called so', () => {
    const { forbidden } = of.succeeded;
    expect(forbidden.map((one) => one.action)).toEqual(Object.keys(FORBIDDEN_ACTIONS));
    const delivery = forbidden.find((one) => one.action === 'downstream-delivery');
    expect(delivery).toMatchObject({ shownBy: 'lint', detail: expect.stringContaining('lint only') });
    expect(delivery?.detail).toContain('drain');
  });

  it('the record of every scenario verifies offline', () => {
    for (const name of SCENARIOS) {
      const verified = verifyEvidence(renderJson(of[name]));
      expect(verified.problems, name).toEqual([]);
      expect(verified, name).toMatchObject({ ok: true, verdict: 'pass', head: of[name].chain.at(-1)?.hash });
      expect(of[name].atCollection.integrity, name).toEqual({
        chainHolds: true,
        tablesAgree: true,
        problems: [],
      });
    }
  });

  it('the collection reads in one read-only transaction and changes nothing', async () => {
    const count = async () =>
      (await client.query('select count(*)::int as n from sluice.evidence')).rows[0]?.n;
    const before = await count();
    await collectEvidence(client, id.succeeded);
    expect(await count()).toBe(before);
    const state = await client.query('select pg_current_xact_id_if_assigned() as xid');
    expect(state.rows[0]?.xid).toBeNull();
  });

  it('a table that no longer agrees with the chain is told, loudly', async () => {
    await client.query('begin');
    await client.query('alter table sluice.step_receipt disable trigger user');
    await client.query(
      `update sluice.step_receipt set verdict = 'fail' where run_id = $1 and step_id = 'verify'`,
      [id.succeeded],
    );
    await client.query('commit');
    const evidence = await collectEvidence(client, id.succeeded);
    expect(evidence.atCollection.integrity.tablesAgree).toBe(false);
    expect(stepOf(evidence, 'verify').verdict).toBe('pass');
    expect(renderHtml(evidence)).toContain('The record does not hold.');
  });

  it('a target without conservation proof says so, and one with it shows its verdict', async () => {
    expect(of.succeeded.atCollection.conservation).toBeNull();
    await client.query(`
      create function public.fn_iu_conservation() returns table (check_id text, verdict text, detail text)
      language sql stable as $$ values ('C1', 'pass', '45 events = 45 attempts'), ('C2', 'fail', 'version 7 has no event') $$`);
    const { conservation } = (await collectEvidence(client, id.succeeded)).atCollection;
    expect(conservation).toMatchObject({ verdict: 'fail', rows: [{ check_id: 'C1' }, { check_id: 'C2' }] });
    await client.query(`
      drop function public.fn_iu_conservation();
      create function public.fn_iu_conservation() returns boolean language sql as $$ select 1 / 0 > 0 $$`);
    const broken = (await collectEvidence(client, id.succeeded)).atCollection.conservation;
    expect(broken).toMatchObject({ verdict: 'not_run', detail: expect.stringContaining('division by zero') });
    await client.query('drop function public.fn_iu_conservation()');
  });

  it.each([
    ['00000000-0000-4000-8000-000000000000', 'run_not_found'],
    ['not-a-uuid', 'run_not_found'],
  ])('an unknown run id %s is refused as %s', async (runId, code) => {
    await expect(collectEvidence(client, runId)).rejects.toMatchObject({ code });
  });

  it('a target without engine tables is refused by its own code', async () => {
    const bare = await createDatabase({ major, prefix: 'bare' });
    const other = await bare.connect();
    await expect(collectEvidence(other, id.succeeded)).rejects.toMatchObject({
      code: 'engine_schema_missing',
    });
    await bare.drop();
  });

  it('the page holds no script and no reference to anything outside, and escapes what people wrote', () => {
    for (const name of SCENARIOS) {
      const html = renderHtml(of[name]);
      expect(
        html.match(/<script|<img|<link|<iframe|@import|url\(|javascript:|\son\w+=(?!alert)/i),
        name,
      ).toBeNull();
      expect(html.replace(/xmlns="http:\/\/www\.w3\.org\/2000\/svg"/g, ''), name).not.toMatch(
        /(?:href|src)="?http/i,
      );
      expect(html).toContain(`default-src 'none'`);
    }
    const html = renderHtml(of.succeeded);
    expect(html).toContain('Window &lt;script&gt;alert(');
    const markdown = renderMarkdown(of.succeeded);
    expect(markdown).not.toMatch(/<script|<img/);
    expect(markdown).toContain('\\|');
  });

  it('the page has a Gantt of the run, one of the undo run, and a plot for each metric, each in two widths', () => {
    const count = (html: string) => html.match(/<svg role="img" aria-label="/g)?.length;
    expect(count(renderHtml(of.succeeded))).toBe(2 * (1 + 2));
    expect(count(renderHtml(of.takenBack))).toBe(2 * (2 + 2));
    expect(renderHtml(of.succeeded)).toContain('pass ≤ 5');
    expect(renderHtml(of.succeeded)).toContain('Limits off the scale: fail &gt; 100');
  });

  it('the three files are written whole, under the run number and the macro, and replaced by a second report', async () => {
    for (const name of SCENARIOS) await writeReport(of[name], dir);
    const files = await writeReport(of.succeeded, dir);
    expect(files).toEqual({
      markdown: join(dir, 'run-1-worker-live-dry-run.md'),
      json: join(dir, 'run-1-worker-live-dry-run.json'),
      html: join(dir, 'run-1-worker-live-dry-run.html'),
    });
    expect((await readdir(dir)).filter((name) => name.endsWith('.part'))).toEqual([]);
    expect(verifyEvidence(await readFile(files.json, 'utf8')).ok).toBe(true);
  });
});
