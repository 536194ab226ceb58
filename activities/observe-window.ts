import { activityInfo, Context, sleep } from '@temporalio/activity';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { PlannedMetric, PlannedObserveStep } from '../contracts/plan.ts';
import { combineVerdicts } from '../contracts/verdict.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishReading } from './finish-reading.ts';
import { judgeMetric, judgeSample, type Sample } from './judge-metric.ts';
import { performStep, type StepWork } from './perform-step.ts';
import { enterStep, recordedResult } from './receipts.ts';

/** Where the window stands; heartbeat details, so that another worker goes on with the same window. */
interface WindowProgress {
  readonly openedAtMs: number;
  readonly firstSample: number;
  readonly samples: number;
}

/**
 * `observe`: samples every metric once per interval until the window has passed. Samples are rows of
 * `sluice.observation`; an attempt after a lost worker continues the same window.
 */
export function observeWindow(dependencies: ActivityDependencies) {
  return (ref: StepRef): Promise<StepResult> =>
    performStep(dependencies, ref, 'do', async (given) => {
      const { client } = given;
      const step = given.step as PlannedObserveStep;
      const known = await inTransaction(client, 'read only', limits(given), () => enterStep(client, ref.runId, step.id));
      const recorded = recordedResult(known);
      if (recorded !== undefined) return recorded;
      const texts = new Map<string, string>();
      for (const metric of step.metrics) texts.set(metric.name, await loadScript(client, metric.script.sha256));
      let progress = await openWindow(given, step);
      while (true) {
        const sampleNo = progress.firstSample + progress.samples;
        for (const metric of step.metrics) await takeSample(given, step, metric, texts.get(metric.name) ?? '', sampleNo);
        progress = { ...progress, samples: progress.samples + 1 };
        given.report(progress);
        const judged = await judge(given, step, progress.firstSample);
        const isOver = Date.now() - progress.openedAtMs >= step.windowMs;
        if (isOver || judged.some((metric) => metric.failedForGood)) return close(given, step, progress, judged);
        const untilNext = progress.openedAtMs + progress.samples * step.intervalMs - Date.now();
        await sleep(Math.max(untilNext, 10));
        Context.current().cancellationSignal.throwIfAborted();
      }
    });
}

async function openWindow(given: StepWork, step: PlannedObserveStep): Promise<WindowProgress> {
  const resumed = activityInfo().heartbeatDetails as WindowProgress | undefined;
  if (resumed?.openedAtMs !== undefined) return resumed;
  const found = await given.client.query<{ next: number }>(
    `select coalesce(max(sample_no), 0) + 1 as next
     from sluice.observation
     where run_id = $1
       and step_id = $2`,
    [given.ref.runId, step.id],
  );
  return { openedAtMs: Date.now(), firstSample: found.rows[0]?.next ?? 1, samples: 0 };
}

async function takeSample(
  given: StepWork,
  step: PlannedObserveStep,
  metric: PlannedMetric,
  text: string,
  sampleNo: number,
): Promise<void> {
  const { client, ref } = given;
  const value = await inTransaction(
    client,
    'read only',
    limits(given),
    async () => {
      const found = await client.query<{ value: string | number | null }>(text);
      const last = Array.isArray(found) ? found.at(-1) : found;
      const read = last?.rows[0]?.value ?? null;
      return read === null ? null : Number(read);
    },
    'rollback',
  );
  await client.query(
    `insert into sluice.observation (run_id, step_id, metric, sample_no, value, verdict)
     values ($1, $2, $3, $4, $5, $6)
     on conflict do nothing`,
    [ref.runId, step.id, metric.name, sampleNo, value, judgeSample(metric, value)],
  );
}

async function judge(given: StepWork, step: PlannedObserveStep, firstSample: number) {
  const found = await given.client.query<Sample & { metric: string }>(
    `select metric, verdict, value::float8 as value
     from sluice.observation
     where run_id = $1
       and step_id = $2
       and sample_no >= $3
     order by sample_no`,
    [given.ref.runId, step.id, firstSample],
  );
  return step.metrics.map((metric) =>
    judgeMetric(
      metric,
      found.rows.filter((row) => row.metric === metric.name),
    ),
  );
}

async function close(
  given: StepWork,
  step: PlannedObserveStep,
  progress: WindowProgress,
  judged: ReturnType<typeof judgeMetric>[],
): Promise<StepResult> {
  const checks = judged.map(({ name, verdict, detail }) => ({ checkId: name, verdict, detail }));
  return finishReading(
    given,
    combineVerdicts(checks.map((check) => check.verdict)),
    checks,
    {
      windowMs: step.windowMs,
      intervalMs: step.intervalMs,
      samples: progress.samples,
      metrics: judged.map(({ failedForGood: _, ...facts }) => facts),
    },
    `${progress.samples} samples in ${Math.round((Date.now() - progress.openedAtMs) / 1000)} s`,
  );
}

function limits(given: StepWork) {
  return {
    schema: given.target.schema,
    lockTimeoutMs: given.target.lockTimeoutMs,
    statementTimeoutMs: given.target.statementTimeoutMs.check,
  };
}
