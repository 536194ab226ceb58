import type { Verdict } from '../contracts/verdict.ts';
import type {
  Effect,
  Evidence,
  EvidenceSummary,
  ForwardState,
  StepEvidence,
  UndoState,
} from './evidence-document.ts';
import { sayDuration, sayNumber, sayTime } from './say-quantity.ts';

/** The words and lines that Markdown and HTML share, so that both tell the same. */
export const STATE_WORD: Readonly<Record<ForwardState, string>> = {
  done: 'done',
  already_applied: 'held already',
  partial: 'in part',
  failed: 'failed',
  stopped: 'stopped',
  current: 'open',
  not_reached: 'not reached',
};

export const UNDO_WORD: Readonly<Record<UndoState, string>> = {
  undone: 'undone',
  voided: 'nothing to undo',
  refused: 'undo refused',
  failed: 'undo failed',
};

export const EFFECT_WORD: Readonly<Record<Effect, string>> = {
  in_effect: 'in effect',
  ran: 'ran, has no undo',
  held_before: 'held before this run',
  taken_back: 'taken back',
  none: 'left nothing',
  unknown: 'not known',
};

export const VERDICT_SIGN: Readonly<Record<Verdict, string>> = {
  pass: '✓',
  fail: '✗',
  inconclusive: '?',
  not_run: '–',
};

/** A sign beside each colour, so that nothing hangs on colour alone. */
export const TONE_SIGN: Readonly<Record<EvidenceSummary['tone'], string>> = {
  good: '✓',
  back: '↩',
  warn: '!',
  bad: '✗',
  open: '…',
};

export function sayVerdict(verdict: Verdict): string {
  return verdict.replace('_', ' ');
}

/** State of a step and of its undo in one phrase. */
export function sayState(step: StepEvidence): string {
  const words = [STATE_WORD[step.state], ...(step.undo === null ? [] : [UNDO_WORD[step.undo]])];
  return words.join(', ');
}

export function reportTitle(evidence: Evidence): string {
  const { run } = evidence;
  return `${run.kind === 'undo' ? 'Undo run' : 'Run'} #${run.runNo}: ${run.macro} on ${run.target}`;
}

/** What was run, by whom and why. */
export function runLines(evidence: Evidence): [label: string, value: string][] {
  const { run, plan, atCollection, takesBack } = evidence;
  const identity = run.actor.temporalIdentity ?? 'not recorded';
  return [
    ['Macro', `${run.macro} (${evidence.planDocument.title})`],
    ['Target', `${run.target}, database ${atCollection.database}, schema ${evidence.planDocument.schema}`],
    ...(takesBack === null
      ? []
      : [['Takes back', `run #${takesBack.runNo}, ${takesBack.runId}`] as [string, string]]),
    ['Actor, as claimed', run.actor.claimed],
    ['Temporal identity', identity],
    ['Reason', run.reason],
    ['Ticket', run.ticket ?? 'none'],
    ['Started', sayTime(run.startedAt)],
    [
      'Finished',
      run.finishedAt === null
        ? 'not finished'
        : `${sayTime(run.finishedAt)}, after ${sayDuration(run.durationMs ?? 0)}`,
    ],
    ['Engine run id', run.runId],
    ['Workflow', `${run.workflowId}, run ${run.temporal.runId}`],
    [
      'Temporal',
      `${run.temporal.address}, namespace ${run.temporal.namespace}, cluster ${run.temporal.clusterId}`,
    ],
    ['Plan hash', plan.hash],
    ['Planned', `${sayTime(plan.plannedAt)} by ${plan.plannedBy}`],
    ['Fingerprint at start', run.fingerprint.atStart],
    [
      'Fingerprint at end',
      run.fingerprint.atEnd === null
        ? 'not recorded'
        : `${run.fingerprint.atEnd} (${run.fingerprint.equal === true ? 'equal: definitions as at the start' : 'definitions differ from the start'})`,
    ],
    ['Fingerprint at collection', sayPresent(evidence)],
    ['Collected', `${sayTime(atCollection.collectedAt)} from PostgreSQL ${atCollection.serverVersion}`],
  ];
}

function sayPresent({ atCollection, run }: Evidence): string {
  if (atCollection.fingerprint === null) return 'not known';
  if (run.finishedAt === null) return atCollection.fingerprint;
  return atCollection.unchangedSinceEnd === true
    ? 'unchanged since the run ended'
    : `${atCollection.fingerprint} (definitions changed since the run ended)`;
}

/** What came after this run, so that its report is not taken for the whole truth. */
export function sayLater({ atCollection, takenBackBy }: Evidence): string[] {
  const known = takenBackBy.map((run) => run.runNo);
  const laterRuns = atCollection.laterRuns.filter((run) => !known.includes(run.runNo));
  const drift =
    atCollection.unchangedSinceEnd === false && takenBackBy.length === 0
      ? ['Definitions of the database have changed since this run ended.']
      : [];
  if (laterRuns.length === 0) return drift;
  const told = laterRuns
    .slice(0, 5)
    .map(
      (run) =>
        `#${run.runNo} ${run.macro}${run.kind === 'undo' ? ' (undo)' : ''}: ${(run.outcome ?? 'unfinished').replace('_', ' ')}`,
    );
  return [
    ...drift,
    `Since then ${sayNumber(laterRuns.length, 'other run')} in this database: ${told.join(', ')}${laterRuns.length > 5 ? ', …' : '.'}`,
  ];
}

/** Whether the record can be trusted, and how to check it again. */
export function integrityLines(evidence: Evidence): [label: string, value: string][] {
  const { chain, relatedChains, atCollection } = evidence;
  const { integrity } = atCollection;
  const related = relatedChains.reduce((sum, other) => sum + other.rows.length, 0);
  return [
    [
      'Rows',
      `${sayNumber(chain.length, 'row')} of this run${related === 0 ? '' : `, ${related} of the runs that belong to it`}`,
    ],
    ['Hashes and links', integrity.chainHolds ? 'hold (computed again at collection)' : 'DO NOT HOLD'],
    [
      'Tables against chain',
      integrity.tablesAgree === null ? 'not compared' : integrity.tablesAgree ? 'agree' : 'DISAGREE',
    ],
    ['Redacted places', String(atCollection.redactions)],
    ['Last hash', chain.at(-1)?.hash ?? 'none'],
    ['Check it offline', 'sluice evidence verify FILE.json'],
  ];
}

/** What a restore of this run's backup would lose. */
export const RESTORE_LOSES =
  'A restore loses everything written after the backup was taken, the receipts of this run too; restore into a new database.';
