import type { ReplayChaosReport } from './run-replay-chaos.ts';
import type { ReplayVerdict } from './verdict.ts';

/** More history events than a run may have. */
const LONGEST_HISTORY = 4_096;

/** What speaks against letters and effects, one sentence each. */
export function verdictFailures(verdict: ReplayVerdict): string[] {
  const counts = {
    'letters are not in the plan once': verdict.unplanned,
    'letters have more or fewer attempts than their policy allows': verdict.wrongAttempts,
    'letters have a gap in the numbers of their attempts': verdict.gaps,
    'letters ended otherwise than they should': verdict.wrongEnds,
    'rows of the plan tell something else than the attempts': verdict.wrongRows,
    'resolved letters have no effect': verdict.effectsMissing,
    'letters took effect twice': verdict.effectsTwice,
    'failed letters left an effect': verdict.effectsOfFailures,
    'effects came before an earlier one of their subject': verdict.inversions,
    'letters have more tries than requests that arrived': verdict.neverArrived,
    'resolved letters were not acted on by the receiver': verdict.actsMissing,
    'letters were acted on twice by the receiver': verdict.actsTwice,
    'failed letters were acted on by the receiver': verdict.actsOfFailures,
    'requests have a key of no letter': verdict.strays,
    'keys were sent with different bytes': verdict.changedBytes,
    'letters were sent again though no worker died meanwhile': verdict.unexplained,
    'deliveries are still queued': verdict.queued,
  };
  return [
    ...Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${count} ${what}`),
    ...verdict.wrongCounts,
    ...(verdict.isBalanced ? [] : ['fn_iu_conservation() is not balanced']),
    ...verdict.stories,
  ];
}

/** What speaks against a run, one sentence each; nothing when it kept every promise. */
export function replayFailures(report: ReplayChaosReport): string[] {
  const { verdict, samples, chain, result, status, seed } = report;
  const longest = Math.max(...chain);
  const failures = [
    ...(result?.outcome === 'executed' ? [] : [`the run ended as ${result?.outcome ?? status}`]),
    ...verdictFailures(verdict),
    ...samples.wrong.slice(0, 20),
    ...(longest > LONGEST_HISTORY ? [`a run has ${longest} history events`] : []),
    ...(['resolved', 'failed', 'tries'] as const)
      .filter((count) => result !== null && result[count] !== verdict[count])
      .map((count) => `the run answered ${result?.[count]} ${count}, and there are ${verdict[count]}`),
  ];
  return failures.length === 0 ? [] : [`seed ${seed}`, ...failures];
}

/** The figures of a run on one line. */
export function replayFigures(report: ReplayChaosReport): string {
  const { verdict, samples, chain, seconds } = report;
  return Object.entries({
    seed: report.seed,
    letters: verdict.letters,
    resolved: verdict.resolved,
    'failed for good': verdict.failed,
    tries: verdict.tries,
    'workers killed': report.kills,
    'PostgreSQL killed': report.crashes,
    'Temporal restarted': report.restarts,
    'requests repeated': verdict.repeated,
    'runs of the chain': chain.length,
    'longest history': Math.max(...chain),
    'samples of the rows': samples.answered.rows,
    'of the query': samples.answered.query,
    unanswered: samples.unanswered.rows + samples.unanswered.query,
    balanced: verdict.isBalanced,
    'seconds replaying': seconds.replaying,
    'seconds in all': seconds.all,
  })
    .map(([name, value]) => `${name} ${value}`)
    .join(' · ');
}
