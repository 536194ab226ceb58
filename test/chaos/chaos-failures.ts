import type { ChaosReport } from './run-chaos.ts';

/** What speaks against a run, one sentence each; nothing when it kept every promise. */
export function chaosFailures({ verdict, unexpectedErrors, seed }: ChaosReport): string[] {
  const counts = {
    'committed events were lost': verdict.lost,
    'first decisions were made twice': verdict.duplicates,
    'attempts tell of what was not committed or does not match': verdict.invented,
    'events of the outbox were never committed by their writer': verdict.uncommitted,
    'events became dead letters': verdict.deadLetters,
    'events were decided before an earlier one of their subject, on a route with an order':
      verdict.inversionsOrdered,
    'subjects are not numbered without a gap': verdict.misnumbered,
    'errors are not explained by the chaos': Object.values(unexpectedErrors).reduce((a, b) => a + b, 0),
  };
  const failures = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${what}`);
  if (!verdict.balanced) failures.push('fn_iu_conservation() is not balanced');
  const details = [...verdict.lostStories, ...verdict.inversionStories, ...Object.keys(unexpectedErrors)];
  return failures.length === 0 ? [] : [`seed ${seed}`, ...failures, ...details];
}

/** The figures of a run on one line. */
export function chaosFigures({ events, writers, pollers, killer, verdict, ...report }: ChaosReport): string {
  return Object.entries({
    seed: report.seed,
    events,
    transactions: writers.transactions,
    committed: writers.committed,
    'rolled back': writers.rolledBack,
    'cut off': writers.cutOff,
    savepoints: writers.savepoints,
    'rolled back to': writers.savepointsRolledBack,
    prepared: writers.prepared,
    'COMMIT unanswered': writers.unanswered,
    'of these committed': writers.unansweredCommitted,
    terminated: killer.terminated,
    cancelled: killer.cancelled,
    'postmaster kills': killer.crashes,
    'clock set back': report.clockSetBack,
    runs: pollers.runs,
    busy: pollers.busy,
    'runs undone': pollers.undone,
    'inversions unordered': verdict.inversionsUnordered,
    'inversions ordered': verdict.inversionsOrdered,
    lost: verdict.lost,
    duplicates: verdict.duplicates,
    balanced: verdict.balanced,
    seconds: report.seconds.all,
  })
    .map(([name, value]) => `${name} ${value}`)
    .join(' · ');
}
