import type { MetricLimit, PlannedMetric } from '../contracts/plan.ts';
import type { Verdict } from '../contracts/verdict.ts';

export interface Sample {
  readonly value: number | null;
  readonly verdict: Verdict;
}

export interface JudgedMetric {
  readonly name: string;
  readonly unit: string;
  readonly verdict: Verdict;
  readonly detail: string;
  readonly samples: number;
  readonly passes: number;
  readonly failures: number;
  /** More failing samples than the limit allows: waiting longer cannot help. */
  readonly failedForGood: boolean;
}

function isWithin(value: number, limit: MetricLimit): boolean {
  return value >= (limit.min ?? Number.NEGATIVE_INFINITY) && value <= (limit.max ?? Number.POSITIVE_INFINITY);
}

/** Within `pass`: pass; outside `fail`: fail; between the two, inconclusive; no value: not_run. */
export function judgeSample(metric: PlannedMetric, value: number | null): Verdict {
  if (value === null || Number.isNaN(value)) return 'not_run';
  if (isWithin(value, metric.pass)) return 'pass';
  return metric.fail !== undefined && isWithin(value, metric.fail) ? 'inconclusive' : 'fail';
}

/**
 * The verdict of a metric over its window, samples in order: `fail` above the failure limit; `pass` where the
 * last `consecutiveSuccess` samples pass; `not_run` without samples; otherwise what the last samples say.
 */
export function judgeMetric(metric: PlannedMetric, samples: readonly Sample[]): JudgedMetric {
  const failures = samples.filter((sample) => sample.verdict === 'fail').length;
  const passes = samples.filter((sample) => sample.verdict === 'pass').length;
  const failedForGood = failures > metric.failureLimit;
  const tail = samples.slice(-metric.consecutiveSuccess);
  const last = samples.at(-1);
  let verdict: Verdict = 'inconclusive';
  if (last === undefined) verdict = 'not_run';
  else if (failedForGood || last.verdict === 'fail') verdict = 'fail';
  else if (last.verdict === 'not_run') verdict = 'not_run';
  else if (tail.length === metric.consecutiveSuccess && tail.every((sample) => sample.verdict === 'pass'))
    verdict = 'pass';
  return {
    name: metric.name,
    unit: metric.unit,
    verdict,
    detail: `last ${last?.value ?? 'none'} ${metric.unit}, ${passes} of ${samples.length} samples pass, ${failures} fail (limit ${metric.failureLimit})`,
    samples: samples.length,
    passes,
    failures,
    failedForGood,
  };
}
