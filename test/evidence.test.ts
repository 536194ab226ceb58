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

const ATTACK = `Window <script>alert('x')</script> | "q" & \`b\``;
type Scenario = 'succeeded' | 'cancelled' | 'needsAction' | 'disabled' | 'takenBack' | 'undo' | 'unfinished';

describe.each([15, 18] as const)('evidence of runs on PostgreSQL %i', (major) => {
  let client: pg.Client;
  const id = {} as Record<Scenario, string>;
  const of = {} as Record<Scenario, Evidence>;

  beforeAll(async () => {
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
    for (const name of Object.keys(id) as Scenario[]) of[name] = await collectEvidence(client, id[name]);
    const keep = process.env['SLUICE_EVIDENCE_OUT'];
    if (keep !== undefined) for (const evidence of Object.values(of)) await writeReport(evidence, keep);
  });

  it('collects', () => {
    for (const evidence of Object.values(of)) {
      const verified = verifyEvidence(renderJson(evidence));
      expect(verified.problems).toEqual([]);
      expect(verified.ok).toBe(true);
      console.log(
        evidence.summary,
        evidence.steps.map((s) => [s.id, s.state, s.undo, s.effect, s.verdict].join(' ')),
      );
      console.log(
        renderMarkdown(evidence).length,
        renderHtml(evidence).length,
        evidence.atCollection.integrity,
      );
    }
  });
});
