/**
 * The four verdicts, from a SQL result set to the report. `not_run` never counts as a pass, and
 * `inconclusive` holds the run for a person.
 */
export const VERDICTS = ['pass', 'fail', 'inconclusive', 'not_run'] as const;
export type Verdict = (typeof VERDICTS)[number];

/** One row that a managed script reports: the columns `check_id`, `verdict`, `detail`. */
export interface CheckRow {
  readonly checkId: string;
  readonly verdict: Verdict;
  readonly detail: string;
}

/**
 * The verdict of a list: `fail` wins, then `inconclusive`, then `not_run`; an empty list is `not_run`,
 * because a check that reported nothing has shown nothing.
 */
export function combineVerdicts(verdicts: readonly Verdict[]): Verdict {
  if (verdicts.length === 0) return 'not_run';
  for (const worst of ['fail', 'inconclusive', 'not_run'] as const) {
    if (verdicts.includes(worst)) return worst;
  }
  return 'pass';
}
