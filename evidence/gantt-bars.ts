import type { Evidence, StepEvidence } from './evidence-document.ts';
import { sayDuration } from './say-quantity.ts';

export type BarKind = 'pass' | 'fail' | 'other' | 'undo' | 'wait' | 'open';

/** A bar of the step Gantt. Times are milliseconds since the chart's beginning. */
export interface GanttBar {
  readonly lane: number;
  readonly kind: BarKind;
  readonly fromMs: number;
  readonly toMs: number;
  readonly text: string;
}

export interface Gantt {
  readonly runId: string;
  readonly startedAt: string;
  readonly totalMs: number;
  readonly lanes: readonly string[];
  readonly bars: readonly GanttBar[];
  /** Attempts that failed. */
  readonly marks: readonly { readonly lane: number; readonly atMs: number }[];
  /** Stretches in which nothing but waiting happened, cut out of the axis. */
  readonly cuts: readonly { readonly fromMs: number; readonly toMs: number }[];
}

interface Span {
  readonly kind: BarKind;
  readonly from: number;
  readonly to: number;
}
interface Lane {
  readonly label: string;
  readonly spans: readonly Span[];
  readonly marks: readonly number[];
}

/** Bars of what one run did: `runId` is the document's run or one of the undo runs in it. Null where it did nothing. */
export function ganttBars(evidence: Evidence, runId: string): Gantt | null {
  const run = [evidence.run, ...evidence.takenBackBy].find((one) => one.runId === runId);
  if (run === undefined) return null;
  const begin = Date.parse(run.startedAt);
  const isMain = run.kind === 'forward';
  const steps = [...evidence.steps, ...evidence.disable, ...evidence.unplanned];
  const lanes = steps
    .map((step, index) => toLane(evidence, run.runId, step, steps.slice(0, index), begin))
    .filter((lane) => isMain || lane.spans.length + lane.marks.length > 0);
  if (isMain) lanes.push(...holdLanes(evidence, run.finishedAt));
  const spans = lanes.flatMap((lane) => lane.spans);
  const marks = lanes.flatMap((lane) => lane.marks);
  if (spans.length + marks.length === 0) return null;
  const end = Math.max(begin + 1, ...spans.map((span) => span.to), ...marks);
  return {
    runId,
    startedAt: run.startedAt,
    totalMs: end - begin,
    lanes: lanes.map((lane) => lane.label),
    bars: lanes.flatMap((lane, index) =>
      lane.spans.map(({ kind, from, to }) => ({
        lane: index,
        kind,
        fromMs: from - begin,
        toMs: to - begin,
        text: sayBar(kind, to - from),
      })),
    ),
    marks: lanes.flatMap((lane, index) => lane.marks.map((at) => ({ lane: index, atMs: at - begin }))),
    cuts: idleStretches(spans, marks, begin, end),
  };
}

function toLane(
  evidence: Evidence,
  runId: string,
  step: StepEvidence,
  before: readonly StepEvidence[],
  begin: number,
): Lane {
  const mine = step.receipts.filter((receipt) => receipt.byRunId === runId);
  const did = mine.filter((receipt) => receipt.direction === 'do' && receipt.state !== 'voided');
  const undid = mine.filter((receipt) => receipt.direction === 'undo');
  const failures = step.failures
    .filter((failure) => failure.byRunId === runId)
    .map((failure) => Date.parse(failure.failedAt));
  const spans: Span[] = [];
  const readyAt = Math.max(
    begin,
    ...before.flatMap((other) =>
      other.receipts
        .filter((receipt) => receipt.byRunId === runId && receipt.direction === 'do')
        .map((receipt) => Date.parse(receipt.finishedAt)),
    ),
  );
  if (did.length > 0) {
    const to = Math.max(...did.map((receipt) => Date.parse(receipt.finishedAt)));
    const from = Math.min(...did.map((receipt) => Date.parse(receipt.startedAt)));
    if (step.kind === 'approve') spans.push({ kind: 'wait', from: Math.min(readyAt, to), to });
    else
      spans.push({
        kind: step.verdict === 'pass' ? 'pass' : step.verdict === 'fail' ? 'fail' : 'other',
        from,
        to,
      });
  } else if (step.state === 'current' && runId === evidence.run.runId) {
    const until = Math.max(readyAt, Date.parse(evidence.atCollection.collectedAt));
    spans.push({ kind: step.kind === 'approve' ? 'wait' : 'open', from: readyAt, to: until });
  } else if (step.state === 'failed' && failures.length > 0) {
    const first = Math.min(...failures);
    spans.push({ kind: 'fail', from: Math.min(readyAt, first), to: Math.max(...failures) });
  }
  const samples = evidence.observations
    .filter((observation) => observation.stepId === step.id)
    .flatMap((observation) => observation.samples.map((sample) => Date.parse(sample.at)));
  if (
    step.state === 'stopped' &&
    samples.length > 0 &&
    runId === (evidence.takesBack ?? evidence.run).runId
  ) {
    spans.push({ kind: 'other', from: Math.min(...samples), to: Math.max(...samples) });
  }
  if (undid.length > 0) {
    spans.push({
      kind: 'undo',
      from: Math.min(...undid.map((receipt) => Date.parse(receipt.startedAt))),
      to: Math.max(...undid.map((receipt) => Date.parse(receipt.finishedAt))),
    });
  }
  return { label: step.id, spans, marks: failures };
}

function sayBar(kind: BarKind, ms: number): string {
  const word = kind === 'undo' ? 'undo ' : kind === 'wait' ? 'waited ' : '';
  return `${word}${sayDuration(ms)}`;
}

/** A hold ends with whatever a person did next, or with the run. */
function holdLanes(evidence: Evidence, finishedAt: string | null): Lane[] {
  const end = Date.parse(finishedAt ?? evidence.atCollection.collectedAt);
  const spans = evidence.controls.flatMap((control, index): Span[] => {
    if (control.action !== 'hold') return [];
    const next = evidence.controls
      .slice(index + 1)
      .find((other) => other.action !== 'hold' && other.action !== 'approve');
    return [
      {
        kind: 'wait',
        from: Date.parse(control.actedAt),
        to: next === undefined ? end : Date.parse(next.actedAt),
      },
    ];
  });
  return spans.length === 0 ? [] : [{ label: '(held)', spans, marks: [] }];
}

/** Stretches worth cutting: nothing but waiting, longer than everything that worked together and than 30 s. */
function idleStretches(spans: readonly Span[], marks: readonly number[], begin: number, end: number) {
  const busy = [
    ...spans
      .filter((span) => span.kind !== 'wait' && span.kind !== 'open')
      .map(({ from, to }) => [from, to] as const),
    ...marks.map((at) => [at, at] as const),
    [begin, begin] as const,
    [end, end] as const,
  ].sort((a, b) => a[0] - b[0]);
  const worked = busy.reduce((sum, [from, to]) => sum + (to - from), 0);
  const margin = Math.max(worked * 0.05, 500);
  const cuts: { fromMs: number; toMs: number }[] = [];
  let until = begin;
  for (const [from, to] of busy) {
    const gap = from - until;
    if (gap > Math.max(30_000, worked))
      cuts.push({ fromMs: until + margin - begin, toMs: from - margin - begin });
    until = Math.max(until, to);
  }
  return cuts;
}
