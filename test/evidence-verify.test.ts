import { beforeAll, describe, expect, it } from 'vitest';
import { collectEvidence } from '../evidence/collect-evidence.ts';
import type { ChainRow, Evidence } from '../evidence/evidence-document.ts';
import { chainHash } from '../evidence/hash-chain.ts';
import { renderHtml } from '../evidence/render-html.ts';
import { renderJson } from '../evidence/render-json.ts';
import { renderMarkdown } from '../evidence/render-markdown.ts';
import { verifyEvidence } from '../evidence/verify-evidence.ts';
import { installEngine } from '../target/install-engine.ts';
import { Recorder } from './fixtures/evidence/recorder.ts';
import { recordNeedsAction, recordSucceeded, recordUndoOf, worldPlan } from './fixtures/evidence/runs.ts';
import { createDatabase } from './support/create-database.ts';

/** A document whose parts can be changed, as a forger would. */
type Forged = { -readonly [K in keyof Evidence]: Evidence[K] };
type Row = { -readonly [K in keyof ChainRow]: ChainRow[K] };

const CANARY = 'c4n4ry-S3cret';

describe('the offline verifier', () => {
  let genuine: string;
  let leaking: Evidence;

  beforeAll(async () => {
    const database = await createDatabase({ major: 15, prefix: 'verify' });
    const client = await database.connect();
    await installEngine(client);
    const recorder = new Recorder(client, '2025-11-21T02:10:00.250Z');
    const plan = await worldPlan(recorder);
    const runId = await recordSucceeded(recorder, plan);
    await recordUndoOf(recorder, plan, runId);
    genuine = renderJson(await collectEvidence(client, runId));

    const message = `could not connect to postgresql://sluice:${CANARY}@db:5432/app?sslmode=require (password=${CANARY} host=db)`;
    const secretive = {
      ...plan,
      steps: plan.steps.map((step) =>
        step.kind === 'run' ? { ...step, input: { apiToken: CANARY } } : step,
      ),
    };
    leaking = await collectEvidence(client, await recordNeedsAction(recorder, secretive, message));
  });

  const forge = (change: (document: Forged) => void) => {
    const document = JSON.parse(genuine) as Forged;
    change(document);
    return verifyEvidence(JSON.stringify(document));
  };
  const rowOf = (document: Forged, source: string): Row => {
    const row = document.chain.find((one) => one.source === source);
    if (row === undefined) throw new Error(`no row of ${source}`);
    return row as Row;
  };
  const first = (document: Forged) => forgeFirst(verifyEvidence(JSON.stringify(document)));
  const forgeFirst = (verified: ReturnType<typeof verifyEvidence>) => verified.problems[0];

  it('finds nothing wrong with a genuine report', () => {
    const document = JSON.parse(genuine) as Evidence;
    const related = document.relatedChains.reduce((sum, chain) => sum + chain.rows.length, 0);
    expect(verifyEvidence(genuine)).toEqual({
      ok: true,
      verdict: 'pass',
      rows: document.chain.length + related,
      head: document.chain.at(-1)?.hash,
      problems: [],
    });
  });

  it('names the row whose payload was changed', () => {
    const document = JSON.parse(genuine) as Forged;
    const row = rowOf(document, 'step_failure');
    row.payload = row.payload.replace('lock_timeout', 'transient');
    expect(first(document)).toMatchObject({
      seq: row.seq,
      what: expect.stringContaining('is not what was hashed'),
    });
  });

  it('names the next row where a changed row was given a new hash', () => {
    const document = JSON.parse(genuine) as Forged;
    const row = rowOf(document, 'step_failure');
    row.payload = row.payload.replace('lock_timeout', 'transient');
    row.hash = chainHash(row.prevHash, row.source, row.payload);
    expect(first(document)).toMatchObject({
      seq: row.seq + 1,
      what: expect.stringContaining('does not follow'),
    });
  });

  it('finds a row that was taken out, in the middle and at the end', () => {
    expect(
      forge((document) => edit(document, { chain: document.chain.filter((row) => row.seq !== 7) })).ok,
    ).toBe(false);
    const shorter = forge((document) => edit(document, { chain: document.chain.slice(0, -1) }));
    expect(shorter.verdict).toBe('fail');
    expect(shorter.problems.map((problem) => problem.path).join(' ')).toContain('steps[2]');
  });

  it('finds rows that changed places, a chain that starts elsewhere and an empty one', () => {
    expect(forge((document) => edit(document, { chain: [...document.chain].reverse() })).ok).toBe(false);
    expect(
      forge((document) => edit(document, { chain: document.chain.slice(1) })).problems[0]?.what,
    ).toContain('number 2');
    expect(forge((document) => edit(document, { chain: [] })).ok).toBe(false);
  });

  it.each<[string, (document: Forged) => void, string]>([
    [
      'a receipt verdict',
      (d) => edit(d.steps[8]?.receipts[0], { verdict: 'fail' }),
      'steps[8].receipts[0].verdict',
    ],
    [
      'a check',
      (d) => edit(d.steps[5]?.receipts[0]?.checks[3], { verdict: 'fail' }),
      'steps[5].receipts[0].checks[3].verdict',
    ],
    ['the outcome', (d) => edit(d.run, { outcome: 'needs_action' }), 'run.outcome'],
    ['a reason', (d) => edit(d.run, { reason: 'approved by everybody' }), 'run.reason'],
    ['an approver', (d) => edit(d.controls[0]?.actor, { claimed: 'dora' }), 'controls[0].actor.claimed'],
    [
      'a sample',
      (d) => edit(d.observations[0]?.samples[2], { value: 1 }),
      'observations[0].samples[2].value',
    ],
    ['the headline', (d) => edit(d.summary, { headline: 'Succeeded' }), 'summary.headline'],
    ['the undo run', (d) => edit(d.takenBackBy[0], { outcome: 'needs_action' }), 'takenBackBy[0].outcome'],
    ['a file digest', (d) => edit(d.plan.scripts[0], { sha256: '0'.repeat(64) }), 'plan.scripts[0].body'],
    ['the next macro', (d) => edit(d.planDocument, { next: 'drop-everything' }), 'planDocument.next'],
  ])('finds %s that the chain does not prove', (_what, change, path) => {
    const verified = forge(change);
    expect(verified.verdict).toBe('fail');
    expect(verified.problems.map((problem) => problem.path)).toContain(path);
  });

  it('finds a text and a plan that are not those of their digests', () => {
    expect(forge((d) => edit(d.plan.scripts[1], { body: 'drop table x' })).problems[0]?.path).toBe(
      'plan.scripts[1].body',
    );
    const swapped = forge((d) =>
      edit(d.plan, { canonical: d.plan.canonical.replace('"iu_outbound_default"', '"other"') }),
    );
    expect(swapped.problems[0]?.path).toBe('plan.canonical');
  });

  it('finds a change in the chain of the undo run', () => {
    const verified = forge((document) => {
      const row = document.relatedChains[0]?.rows[0];
      edit(row, { payload: row?.payload.replace('carla', 'dora') });
    });
    expect(verified.problems[0]).toMatchObject({
      seq: 1,
      what: expect.stringContaining('is not what was hashed'),
    });
  });

  it.each([
    ['', 'not JSON'],
    ['{"format":"sluice.evidence/1"', 'not JSON'],
    ['[]', 'Not a document'],
    ['{"format":"sluice.evidence/2"}', 'Not a document'],
  ])('refuses %j with a problem, not with an exception', (text, words) => {
    const verified = verifyEvidence(text);
    expect(verified).toMatchObject({ ok: false, verdict: 'fail', rows: 0, head: null });
    expect(verified.problems[0]?.what).toContain(words);
  });

  it('a secret that reached the record reaches no report', () => {
    for (const text of [renderJson(leaking), renderMarkdown(leaking), renderHtml(leaking)]) {
      expect(text).not.toContain(CANARY);
      expect(text).toContain('redacted');
    }
    expect(leaking.atCollection.redactions).toBeGreaterThanOrEqual(2);
    expect(leaking.atCollection.integrity).toMatchObject({ chainHolds: true, tablesAgree: true });
  });

  it('calls a redacted report inconclusive, never ok, so that the mark cannot hide a change', () => {
    const verified = verifyEvidence(renderJson(leaking));
    expect(verified).toMatchObject({ ok: false, verdict: 'inconclusive' });
    expect(verified.problems.every((problem) => problem.nature === 'redacted')).toBe(true);
    const hidden = forge((document) => {
      const row = rowOf(document, 'step_failure');
      edit(row, { payload: row.payload.replace('lock_timeout', 'transient'), redacted: true });
    });
    expect(hidden.ok).toBe(false);
  });
});

function edit<T extends object>(
  part: T | undefined,
  change: { readonly [K in keyof T]?: T[K] | undefined },
): void {
  if (part === undefined) throw new Error('the document has no such part');
  Object.assign(part, change);
}
