import type { Evidence } from './evidence-document.ts';
import { type PageTable, pagePairs, pageTable } from './page-step.ts';
import { integrityLines, runLines, sayVerdict, VERDICT_SIGN } from './report-words.ts';
import { sayTime } from './say-quantity.ts';
import { viewFacts } from './view-facts.ts';

/** A section below the steps. */
export interface PageSection {
  readonly title: string;
  readonly lines: readonly string[];
  readonly tables: readonly PageTable[];
}

/** What the page tells below steps and observations: people, undo runs, proofs, the run, the chain. */
export function pageSections(evidence: Evidence): PageSection[] {
  return [
    controls(evidence),
    ...undoRuns(evidence),
    forbidden(evidence),
    conservation(evidence),
    { title: 'The run', lines: [], tables: [pagePairs(runLines(evidence))] },
    chain(evidence),
  ];
}

function controls(evidence: Evidence): PageSection {
  const columns = ['When', 'Action', 'Step', 'Actor, as claimed', 'Temporal identity', 'Reason', 'Ticket'];
  const rows = evidence.controls.map((control) => [
    sayTime(control.actedAt),
    control.action,
    control.stepId ?? '',
    control.actor.claimed,
    control.actor.temporalIdentity ?? 'not recorded',
    control.reason,
    control.ticket ?? '',
  ]);
  return {
    title: 'What people did',
    lines: rows.length === 0 ? ['Nothing is recorded: nobody approved, held, released or rolled back.'] : [],
    tables: [pageTable('', columns, rows)],
  };
}

function undoRuns(evidence: Evidence): PageSection[] {
  if (evidence.takenBackBy.length === 0) return [];
  const columns = ['Run', 'Started', 'Outcome', 'Actor, as claimed', 'Temporal identity', 'Reason', 'Ticket'];
  const rows = evidence.takenBackBy.map((run) => [
    `#${run.runNo}`,
    sayTime(run.startedAt),
    (run.outcome ?? 'unfinished').replace('_', ' '),
    run.actor.claimed,
    run.actor.temporalIdentity ?? 'not recorded',
    run.reason,
    run.ticket ?? '',
  ]);
  return [{ title: 'Undo runs of this run', lines: [], tables: [pageTable('', columns, rows)] }];
}

function forbidden(evidence: Evidence): PageSection {
  const common = evidence.forbidden.find((one) => one.shownBy === 'lint')?.detail;
  const rows = evidence.forbidden.map((one) => [
    one.meaning,
    one.shownBy,
    one.shownBy === 'lint' ? 'not lifted; see above' : one.detail,
  ]);
  return {
    title: 'Forbidden actions',
    lines: common === undefined ? [] : [common],
    tables: [pageTable('', ['Action', 'Shown by', 'How'], rows)],
  };
}

function conservation(evidence: Evidence): PageSection {
  const proof = evidence.atCollection.conservation;
  if (proof === null) {
    return { title: 'Conservation', lines: ['The target offers no such proof in this schema.'], tables: [] };
  }
  const sign = VERDICT_SIGN[proof.verdict];
  return {
    title: 'Conservation',
    lines: [`${sign} ${sayVerdict(proof.verdict)}: ${proof.function}() at collection, ${proof.detail}.`],
    tables: viewFacts({ rows: proof.rows }).tables.map((table) => pageTable('', table.columns, table.rows)),
  };
}

function chain(evidence: Evidence): PageSection {
  const rows = evidence.chain.map((row) => [String(row.seq), row.source.replace('_', ' '), row.hash]);
  return {
    title: 'Evidence chain',
    lines: [
      'Every row that the engine wrote of this run is chained by its hash. The file alone cannot show that the whole chain was not written anew: compare the last hash with the target’s.',
    ],
    tables: [
      pagePairs(integrityLines(evidence)),
      { ...pageTable('Rows', ['No.', 'Table', 'Hash'], rows), folded: true },
    ],
  };
}
