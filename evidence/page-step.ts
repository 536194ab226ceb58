import type { CheckRow } from '../contracts/verdict.ts';
import type { Evidence, ForwardState, ReceiptEvidence, StepEvidence } from './evidence-document.ts';
import {
  EFFECT_WORD,
  RESTORE_LOSES,
  STATE_WORD,
  sayVerdict,
  UNDO_WORD,
  VERDICT_SIGN,
} from './report-words.ts';
import { sayDuration, sayNumber, sayTime } from './say-quantity.ts';
import { viewFacts } from './view-facts.ts';

/** A table of the page; `pairs` has its labels in the first column, `folded` hides behind its caption. */
export interface PageTable {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly pairs: boolean;
  readonly folded: boolean;
}

/** What an absent receipt means. */
const NOTHING: Partial<Record<ForwardState, string>> = {
  not_reached: 'The run did not come to this step.',
  stopped: 'It had begun and was stopped before it recorded a result.',
  current: 'It has recorded no result yet.',
};

/** Rows from which on a table is folded away. */
const LONG_TABLE = 15;

export function pageTable(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): PageTable {
  return { caption, columns, rows, pairs: false, folded: rows.length > LONG_TABLE };
}

export function pagePairs(rows: readonly (readonly string[])[], caption = ''): PageTable {
  return { caption, columns: ['', ''], rows, pairs: true, folded: false };
}

/** What `page/step.eta` prints of a step; `waited` stands in for the duration of a step that waits for people. */
export function pageStep(evidence: Evidence, step: StepEvidence, waited?: string) {
  const noteworthy = step.state === 'failed' || step.state === 'partial' || step.verdict === 'inconclusive';
  const troubled = step.undo === 'refused' || step.undo === 'failed';
  const parts = step.receipts.length > 1 && step.receipts.some((receipt) => receipt.part === '');
  const shown = step.receipts.filter((receipt) => !isFilePart(step, receipt) || !parts);
  return {
    id: step.id,
    title: step.title,
    kind: step.kind,
    verdict: step.verdict,
    verdictWord: sayVerdict(step.verdict),
    sign: VERDICT_SIGN[step.verdict],
    isOpen: noteworthy || troubled,
    isDim: step.state === 'not_reached',
    empty:
      step.receipts.length + step.failures.length > 0
        ? ''
        : (NOTHING[step.state] ?? 'No receipt is recorded.'),
    pills: pills(step),
    took: waited ?? (step.attempts === 0 && step.durationMs === 0 ? '' : sayDuration(step.durationMs)),
    failures: step.failures.map((failure) => ({
      head: `${failure.direction === 'undo' ? 'Undo attempt' : 'Attempt'} ${failure.attempt} failed, ${sayTime(failure.failedAt)}${by(evidence, failure.byRunId)}`,
      code: failure.code,
      message: failure.message,
      tables: checkTables(failure.checks),
    })),
    receipts: shown.map((receipt) => ({
      head: receiptHead(evidence, receipt),
      detail: receipt.detail,
      tables: [...checkTables(receipt.checks), ...factTables(receipt)],
    })),
    note: step.kind === 'backup' && step.receipts.length > 0 ? RESTORE_LOSES : '',
    scripts: evidence.plan.scripts
      .filter(
        (script) =>
          script.stepId === step.id || (step.kind === 'disable' && `disable-${script.stepId}` === step.id),
      )
      .map((script) => ({
        label: `SQL, ${script.role.replace('_', ' ')}: ${script.path}${script.body === null ? '' : ` (${sayNumber(script.body.split('\n').length, 'line')})`}`,
        sha256: script.sha256,
        body: script.body,
      })),
  };
}

/** A receipt of one file, whose facts the receipt of the whole step repeats. */
function isFilePart(step: StepEvidence, receipt: ReceiptEvidence): boolean {
  return step.kind !== 'disable' && receipt.direction === 'do' && receipt.part !== '';
}

function pills(step: StepEvidence): { text: string; tone: string }[] {
  const found: { text: string; tone: string }[] = [];
  const troubled = step.state === 'failed' || step.state === 'partial';
  found.push({ text: STATE_WORD[step.state], tone: troubled ? 'trouble' : '' });
  if (step.undo !== null) {
    const tone = step.undo === 'undone' ? 'undone' : step.undo === 'voided' ? '' : 'trouble';
    const took =
      step.undo === 'undone' && step.undoDurationMs !== null ? ` in ${sayDuration(step.undoDurationMs)}` : '';
    found.push({ text: `${UNDO_WORD[step.undo]}${took}`, tone });
  } else if (step.effect === 'in_effect' || step.effect === 'unknown') {
    found.push({ text: EFFECT_WORD[step.effect], tone: step.effect === 'unknown' ? 'trouble' : 'effect' });
  }
  if (step.attempts > 1) found.push({ text: `${step.attempts} attempts`, tone: '' });
  return found;
}

function receiptHead(evidence: Evidence, receipt: ReceiptEvidence): string {
  const what = receipt.direction === 'undo' && receipt.state !== 'done' ? 'Undo' : 'Result';
  const part = receipt.part === '' ? '' : ` of ${receipt.part}`;
  const attempt = receipt.attempt > 1 ? `, attempt ${receipt.attempt}` : '';
  return `${what}${part}: ${receipt.state.replace('_', ' ')}, ${sayTime(receipt.startedAt)}, ${sayDuration(receipt.durationMs)}${attempt}${by(evidence, receipt.byRunId)}`;
}

/** Names the run that wrote it where that is not the run of this document. */
function by(evidence: Evidence, byRunId: string): string {
  if (byRunId === evidence.run.runId) return '';
  const other = [...evidence.takenBackBy, ...(evidence.takesBack === null ? [] : [evidence.takesBack])].find(
    (run) => run.runId === byRunId,
  );
  return other === undefined
    ? `, by run ${byRunId}`
    : `, by ${other.kind === 'undo' ? 'undo run' : 'run'} #${other.runNo}`;
}

export function checkTables(checks: readonly CheckRow[]): PageTable[] {
  if (checks.length === 0) return [];
  const rows = checks.map((check) => [
    check.checkId,
    `${VERDICT_SIGN[check.verdict]} ${sayVerdict(check.verdict)}`,
    check.detail,
  ]);
  return [{ ...pageTable('', ['Check', 'Verdict', 'Detail'], rows), folded: false }];
}

function factTables(receipt: ReceiptEvidence): PageTable[] {
  const { lines, tables } = viewFacts(receipt.facts);
  return [
    pagePairs(lines.map((line) => [line.label, line.value])),
    ...tables.map((table) => pageTable(table.caption, table.columns, table.rows)),
  ];
}
