import { activityInfo, Context, sleep } from '@temporalio/activity';
import type pg from 'pg';
import type { StepRef } from '../contracts/macro-activities.ts';
import type { StepResult } from '../contracts/macro-run.ts';
import type { PlannedMetric, PlannedObserveStep } from '../contracts/plan.ts';
import { combineVerdicts } from '../contracts/verdict.ts';
import { loadScript } from '../planning/load-plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { scriptError } from '../target/run-script.ts';
import type { ActivityDependencies } from './dependencies.ts';
import { finishReading } from './finish-reading.ts';
import { judgeMetric, judgeSample, type Sample } from './judge-metric.ts';
import { performStep, type StepWork } from './perform-step.ts';
import { enterStep, recordedResult } from './receipts.ts';
import { stepLimits } from './step-limits.ts';

/**
 * How much longer at least a window lasts whose worker was lost, in milliseconds: what runs beside it was lost as
 * well, and comes back when its own heartbeat timeout has passed.
 */
const RESUMED_FOR_MS = 10_000;

/** Which window it is; heartbeat details, so that another worker goes on with the same one. */
interface Window {
  readonly openedAtMs: number;
  readonly firstSample: number;
}

type Samples = ReadonlyMap<string, Sample[]>;

/**
 * `observe`: samples every metric once per interval until the window has passed. Samples are rows of
 * `sluice.observation`; an attempt after a lost worker continues the same window, and the time in which nobody
 * sampled is no part of it.
 */
export function observeWindow(dependencies: ActivityDependencies) {
  return (ref: StepRef): Promise<StepResult> =>
    performStep(dependencies, ref, 'do', async (given) => {
      const { client } = given;
      const step = given.step as PlannedObserveStep;
      const known = await inTransaction(client, 'read only', stepLimits(given, 'check'), () =>
        enterStep(client, ref.runId, step.id),
      );
      const recorded = recordedResult(known);
      if (recorded !== undefined) return recorded;
      const texts = new Map<string, string>();
      for (const metric of step.metrics)
        texts.set(metric.name, await loadScript(client, metric.script.sha256));
      const window = await openWindow(given, step);
      given.report(window);
      const samples = await readSamples(given, step, window);
      while (true) {
        const taken = Math.min(...[...samples.values()].map((list) => list.length));
        for (const metric of step.metrics) {
          const list = samples.get(metric.name) ?? [];
          if (list.length > taken) continue;
          list.push(
            await takeSample(given, step, metric, texts.get(metric.name) ?? '', window.firstSample + taken),
          );
        }
        const judged = step.metrics.map((metric) => judgeMetric(metric, samples.get(metric.name) ?? []));
        const isOver = Date.now() - window.openedAtMs >= step.windowMs;
        if (isOver || judged.some((metric) => metric.failedForGood)) {
          return close(given, step, window, taken + 1, judged);
        }
        const elapsed = Date.now() - window.openedAtMs;
        await sleep(step.intervalMs - (elapsed % step.intervalMs));
        Context.current().cancellationSignal.throwIfAborted();
      }
    });
}

async function openWindow(given: StepWork, step: PlannedObserveStep): Promise<Window> {
  const found = await given.client.query<{ next: number }>(
    `select coalesce(max(sample_no), 0) + 1 as next
     from sluice.observation
     where run_id = $1
       and step_id = $2`,
    [given.ref.runId, step.id],
  );
  const next = found.rows[0]?.next ?? 1;
  const resumed = activityInfo().heartbeatDetails as Window | undefined;
  if (resumed?.openedAtMs === undefined) return { openedAtMs: Date.now(), firstSample: next };
  const sampledMs = (next - resumed.firstSample) * step.intervalMs;
  const atMostMs = Math.max(0, step.windowMs - RESUMED_FOR_MS);
  return { ...resumed, openedAtMs: Date.now() - Math.min(sampledMs, atMostMs) };
}

/** Samples of this window that an earlier attempt took. */
async function readSamples(given: StepWork, step: PlannedObserveStep, window: Window): Promise<Samples> {
  const found = await given.client.query<Sample & { metric: string }>(
    `select metric, verdict, value::float8 as value
     from sluice.observation
     where run_id = $1
       and step_id = $2
       and sample_no >= $3
     order by sample_no`,
    [given.ref.runId, step.id, window.firstSample],
  );
  return new Map(step.metrics.map(({ name }) => [name, found.rows.filter((row) => row.metric === name)]));
}

async function takeSample(
  given: StepWork,
  step: PlannedObserveStep,
  metric: PlannedMetric,
  text: string,
  sampleNo: number,
): Promise<Sample> {
  const { client, ref } = given;
  const value = await inTransaction(
    client,
    'read only',
    stepLimits(given, 'check'),
    () => readValue(client, metric, text),
    'rollback',
  );
  const verdict = judgeSample(metric, value);
  await client.query(
    `insert into sluice.observation (run_id, step_id, metric, sample_no, value, verdict)
     values ($1, $2, $3, $4, $5, $6)
     on conflict do nothing`,
    [ref.runId, step.id, metric.name, sampleNo, value, verdict],
  );
  return { value, verdict };
}

async function readValue(client: pg.Client, { script }: PlannedMetric, text: string): Promise<number | null> {
  const found = await client.query<{ value: string | number | null }>(text).catch((error: unknown) => {
    throw scriptError(script.path, text, error);
  });
  const last = Array.isArray(found) ? found.at(-1) : found;
  const value = last?.rows[0]?.value ?? null;
  return value === null ? null : Number(value);
}

async function close(
  given: StepWork,
  step: PlannedObserveStep,
  window: Window,
  samples: number,
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
      samples,
      metrics: judged.map(({ failedForGood: _, ...facts }) => facts),
    },
    `${samples} samples in ${Math.round((Date.now() - window.openedAtMs) / 1000)} s`,
  );
}
