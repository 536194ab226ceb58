import { join } from 'node:path';
import type { Client } from '@temporalio/client';
import type pg from 'pg';
import { followRun } from '../client/follow-run.ts';
import { sendUpdate } from '../client/send-update.ts';
import { startMacro } from '../client/start-macro.ts';
import type { MacroStatus, StepStatus } from '../contracts/macro-run.ts';
import { collectEvidence } from '../evidence/collect-evidence.ts';
import { writeReport } from '../evidence/write-report.ts';
import { buildPlan } from '../planning/build-plan.ts';
import { SHIPPED_MACROS } from '../planning/list-macros.ts';
import { storePlan } from '../planning/store-plan.ts';

/** One run of the demo, as `--json` prints it. Durations are milliseconds, `report` a path. */
export interface DemoRun {
  readonly macro: string;
  readonly runId: string;
  readonly workflowId: string;
  readonly outcome: string;
  readonly steps: readonly Pick<StepStatus, 'id' | 'kind' | 'verdict' | 'attempts' | 'durationMs'>[];
  readonly report: string;
}

export interface DemoParts {
  readonly client: Client;
  readonly sql: pg.Client;
  readonly say: (line: string) => void;
  readonly target: string;
  readonly reportDir: string;
  readonly link: (workflowId: string, runId: string) => string;
  readonly signal?: AbortSignal;
}

const REQUESTER = 'ana (demo)';
const APPROVER = 'bo (demo, the second person)';

/**
 * Plans a macro, starts it, approves it as a second person (and says so), follows it to its end and writes its
 * report.
 *
 * @param hooks.onObserve called once, when the run has begun to observe
 */
export async function runOneMacro(
  parts: DemoParts,
  macro: string,
  hooks: { onObserve?: () => Promise<void> } = {},
): Promise<DemoRun> {
  const { client, sql, say, target } = parts;
  const manifestPath = join(SHIPPED_MACROS, macro, 'macro.yaml');
  const built = await buildPlan({ manifestPath, target, schema: 'public' });
  await storePlan(sql, built, { actor: REQUESTER });
  say(
    `\n${macro}: ${built.plan.title}. Plan ${built.planHash.slice(0, 12)}, ${built.plan.steps.length} steps.`,
  );
  const handle = await startMacro(
    { client, macro },
    { target, planHash: built.planHash, actor: REQUESTER, reason: 'npm start' },
  );
  say(`${macro}: ${parts.link(handle.workflowId, handle.firstExecutionRunId)}`);
  const shown = new Map<string, string>();
  let approved = '';
  let turnedBack = false;
  let observed: Promise<void> | undefined;
  const status = await followRun(handle, {
    ...(parts.signal === undefined ? {} : { signal: parts.signal }),
    onStatus: async (now: MacroStatus) => {
      for (const step of now.steps) sayChange(shown, step, say);
      const pending = now.pendingApproval;
      if (pending !== null && approved !== pending.fingerprint) {
        approved = pending.fingerprint;
        say(`  ${pending.stepId}: ${APPROVER} approves plan ${pending.planHash.slice(0, 12)}`);
        const { planHash, fingerprint } = pending;
        await sendUpdate(handle, 'approve', {
          actor: APPROVER,
          reason: 'the demo approves openly',
          planHash,
          fingerprint,
        });
      }
      if (now.held !== null && !turnedBack) {
        turnedBack = true;
        say(`  held: ${now.held.reason}. Nobody is here to look at it, so the demo rolls the run back.`);
        await sendUpdate(handle, 'rollback', { actor: REQUESTER, reason: 'held, and nobody to look at it' });
      }
      const observing = now.steps.find((step) => step.kind === 'observe');
      if (observing?.state === 'running') observed ??= hooks.onObserve?.();
    },
  });
  await observed;
  const runId = status.runId ?? '';
  const report = await writeReport(await collectEvidence(sql, runId), parts.reportDir);
  return {
    macro,
    runId,
    workflowId: handle.workflowId,
    outcome: status.outcome ?? 'unknown',
    steps: status.steps.map(({ id, kind, verdict, attempts, durationMs }) => ({
      id,
      kind,
      verdict,
      attempts,
      durationMs,
    })),
    report: report.html,
  };
}

function sayChange(shown: Map<string, string>, step: StepStatus, say: (line: string) => void): void {
  const now = `${step.state} ${step.verdict}`;
  if (shown.get(step.id) === now || step.state === 'pending') return;
  shown.set(step.id, now);
  if (step.state === 'running') return;
  say(
    `  ${step.id} (${step.kind}): ${step.state.replace('_', ' ')}, ${(step.durationMs / 1000).toFixed(1)} s. ${step.detail}`,
  );
}
