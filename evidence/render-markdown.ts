import type { CheckRow } from '../contracts/verdict.ts';
import type { Evidence, StepEvidence } from './evidence-document.ts';
import {
  EFFECT_WORD,
  integrityLines,
  RESTORE_LOSES,
  reportTitle,
  runLines,
  sayLater,
  sayState,
  sayVerdict,
  TONE_SIGN,
  VERDICT_SIGN,
} from './report-words.ts';
import { sayCount, sayDuration, sayTime } from './say-quantity.ts';
import { type FactTable, viewFacts } from './view-facts.ts';

/** The report as Markdown (GitHub's tables); texts of people and of the database are escaped. */
export function renderMarkdown(evidence: Evidence): string {
  const sections = [
    head(evidence),
    ['## The run', table(['', ''], runLines(evidence))],
    ['## Steps', stepTable(evidence.steps), ...evidence.steps.map(stepSection)],
    evidence.disable.length === 0
      ? []
      : ['## Disable runbook', stepTable(evidence.disable), ...evidence.disable.map(stepSection)],
    evidence.unplanned.length === 0
      ? []
      : [
          '## Receipts that the plan does not know',
          stepTable(evidence.unplanned),
          ...evidence.unplanned.map(stepSection),
        ],
    observations(evidence),
    controls(evidence),
    undoRuns(evidence),
    forbidden(evidence),
    conservation(evidence),
    [
      '## Pinned texts',
      table(
        ['Step', 'Part', 'File', 'sha256'],
        evidence.plan.scripts.map((script) => [
          script.stepId,
          script.role.replace('_', ' '),
          script.path,
          script.sha256,
        ]),
      ),
    ],
    [
      '## Evidence chain',
      table(['', ''], integrityLines(evidence)),
      ...evidence.atCollection.integrity.problems.map((problem) => `- ${asText(problem)}`),
    ],
  ];
  return `${sections
    .flat()
    .filter((block) => block !== '')
    .join('\n\n')}\n`;
}

function head(evidence: Evidence): string[] {
  const { summary } = evidence;
  return [
    `# ${asText(reportTitle(evidence))}`,
    `**${TONE_SIGN[summary.tone]} ${asText(summary.headline)}**`,
    '## What is true now',
    [...summary.trueNow, ...sayLater(evidence)].map((line) => `- ${asText(line)}`).join('\n'),
    '## What is left to do',
    summary.leftToDo.length === 0
      ? 'Nothing.'
      : summary.leftToDo
          .map(
            ({ stepId, what, how }, index) =>
              `${index + 1}. ${stepId === '' ? '' : `${code(stepId)}: `}${asText(what)}\n   How: ${code(how)}`,
          )
          .join('\n'),
    summary.next === null ? '' : `Exact next macro: ${code(summary.next)}`,
  ];
}

function stepTable(steps: readonly StepEvidence[]): string {
  return table(
    ['Step', 'Kind', 'State', 'Verdict', 'Attempts', 'Duration', 'Undo', 'Change'],
    steps.map((step) => [
      step.id,
      step.kind,
      sayState(step),
      `${VERDICT_SIGN[step.verdict]} ${sayVerdict(step.verdict)}`,
      String(step.attempts),
      step.durationMs === 0 && step.attempts === 0 ? '' : sayDuration(step.durationMs),
      step.undoDurationMs === null ? '' : sayDuration(step.undoDurationMs),
      step.effect === null ? '' : EFFECT_WORD[step.effect],
    ]),
  );
}

function stepSection(step: StepEvidence): string {
  if (step.receipts.length === 0 && step.failures.length === 0) return '';
  const whole = step.receipts.filter(
    (receipt) => receipt.part === '' || receipt.direction === 'undo' || step.kind === 'disable',
  );
  const receipts = whole.flatMap((receipt) => {
    const facts = viewFacts(receipt.facts);
    const label = `${receipt.direction === 'undo' ? 'Undo' : 'Result'}${receipt.part === '' ? '' : ` of ${receipt.part}`}`;
    return [
      `${asText(label)}: ${receipt.state.replace('_', ' ')}, ${sayVerdict(receipt.verdict)}, ${sayTime(receipt.startedAt)}, ${sayDuration(receipt.durationMs)}. ${asText(receipt.detail)}`,
      checkTable(receipt.checks),
      facts.lines.length === 0
        ? ''
        : table(
            ['', ''],
            facts.lines.map((line) => [line.label, line.value]),
          ),
      ...facts.tables.map(factTable),
    ];
  });
  const failures = step.failures.flatMap((failure) => [
    `Failed ${failure.direction === 'undo' ? 'undo ' : ''}attempt ${failure.attempt}, ${sayTime(failure.failedAt)}, ${code(failure.code)}: ${asText(failure.message)}`,
    checkTable(failure.checks),
  ]);
  const restore = step.kind === 'backup' ? RESTORE_LOSES : '';
  return [`### ${asText(step.id)}: ${asText(step.title)}`, ...receipts, ...failures, restore]
    .filter((block) => block !== '')
    .join('\n\n');
}

function checkTable(checks: readonly CheckRow[]): string {
  if (checks.length === 0) return '';
  return table(
    ['Check', 'Verdict', 'Detail'],
    checks.map((check) => [
      check.checkId,
      `${VERDICT_SIGN[check.verdict]} ${sayVerdict(check.verdict)}`,
      check.detail,
    ]),
  );
}

function factTable(facts: FactTable): string {
  return `${asText(facts.caption)}:\n\n${table(facts.columns, facts.rows)}`;
}

function observations(evidence: Evidence): string[] {
  if (evidence.observations.length === 0) return [];
  const rows = evidence.observations.map((one) => {
    const values = one.samples.flatMap((sample) => (sample.value === null ? [] : [sample.value]));
    const count = (verdict: string) =>
      String(one.samples.filter((sample) => sample.verdict === verdict).length);
    return [
      one.stepId,
      `${one.metric}${one.unit === '' ? '' : ` (${one.unit})`}`,
      String(one.samples.length),
      count('pass'),
      count('inconclusive'),
      count('fail'),
      values.length === 0 ? '–' : `${sayCount(Math.min(...values))} to ${sayCount(Math.max(...values))}`,
      sayCount(values.at(-1) ?? Number.NaN),
    ];
  });
  return [
    '## Observed',
    table(['Step', 'Metric', 'Samples', 'Pass', 'Inconclusive', 'Fail', 'Range', 'Last'], rows),
  ];
}

function controls(evidence: Evidence): string[] {
  if (evidence.controls.length === 0) return ['## What people did', 'Nothing is recorded.'];
  const rows = evidence.controls.map((control) => [
    sayTime(control.actedAt),
    control.action,
    control.stepId ?? '',
    control.actor.claimed,
    control.actor.temporalIdentity ?? 'not recorded',
    control.reason,
    control.ticket ?? '',
  ]);
  return [
    '## What people did',
    table(['When', 'Action', 'Step', 'Actor, as claimed', 'Temporal identity', 'Reason', 'Ticket'], rows),
  ];
}

function undoRuns(evidence: Evidence): string[] {
  if (evidence.takenBackBy.length === 0) return [];
  const rows = evidence.takenBackBy.map((run) => [
    `#${run.runNo}`,
    sayTime(run.startedAt),
    (run.outcome ?? 'unfinished').replace('_', ' '),
    run.actor.claimed,
    run.reason,
    run.ticket ?? '',
  ]);
  return [
    '## Undo runs of this run',
    table(['Run', 'Started', 'Outcome', 'Actor, as claimed', 'Reason', 'Ticket'], rows),
  ];
}

function forbidden(evidence: Evidence): string[] {
  const rows = evidence.forbidden.map((one) => [one.meaning, one.shownBy, one.detail]);
  return ['## Forbidden actions', table(['Action', 'Shown by', 'How'], rows)];
}

function conservation(evidence: Evidence): string[] {
  const proof = evidence.atCollection.conservation;
  if (proof === null) return ['## Conservation', 'The target offers no such proof.'];
  const rows =
    proof.rows.length === 0
      ? ''
      : factTable(viewFacts({ rows: proof.rows }).tables[0] ?? { caption: '', columns: [], rows: [] });
  return [
    '## Conservation',
    `${code(proof.function)} at collection: ${sayVerdict(proof.verdict)}, ${asText(proof.detail)}.`,
    rows,
  ];
}

function table(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns.map(cell)),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(row.map(cell))),
  ].join('\n');
}

function cell(text: string): string {
  return asText(text).replace(/\s*\n\s*/g, ' ');
}

/** Text that Markdown and HTML read as text; line breaks are kept from starting a block. */
function asText(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/[\\`*_{}[\]|~#]/g, '\\$&')
    .replace(/\s*\r?\n\s*/g, ' ');
}

function code(text: string): string {
  const flat = text.replace(/\s*\r?\n\s*/g, ' ');
  const fence = '`'.repeat(Math.max(0, ...[...flat.matchAll(/`+/g)].map((run) => run[0].length)) + 1);
  return flat.startsWith('`') || flat.endsWith('`') ? `${fence} ${flat} ${fence}` : `${fence}${flat}${fence}`;
}
