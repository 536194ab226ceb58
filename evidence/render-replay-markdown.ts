import { markdownTable, markdownText } from './markdown-table.ts';
import type { ReplayReport } from './replay-report.ts';
import { sayCount, sayDuration, sayNumber, sayTime } from './say-quantity.ts';

/** Letters that are still open and are listed; the JSON has up to 1,000. */
const LISTED = 50;

/** The evidence of a plan as Markdown; texts of people and of the database are escaped. */
export function renderReplayMarkdown(
  report: ReplayReport,
  json: { readonly name: string; readonly sha256: string },
): string {
  return `${[
    `# Replay of dead letters: plan \`${report.plan.planHash.slice(0, 16)}\``,
    `**${headline(report)}**`,
    '## The plan',
    planTable(report),
    '## Routes',
    routeTable(report),
    '## Letters by kind of failure',
    groupTable(report),
    '## Runs',
    runTable(report),
    executionTable(report),
    '## What happened',
    storyTable(report),
    '## What was left alone',
    leftAlone(report),
    '## Still open',
    stillOpen(report),
    '## Proof',
    proof(report, json),
  ].join('\n\n')}\n`;
}

function headline({ progress }: ReplayReport): string {
  const { state, letters, resolved, failed, skipped } = progress;
  const rest = letters - resolved - failed - skipped;
  const left = rest === 0 ? '' : `, ${sayCount(rest)} not yet settled`;
  return `${state}: ${sayNumber(letters, 'letter')}, ${sayCount(resolved)} resolved, ${sayCount(failed)} failed, ${sayCount(skipped)} skipped${left}`;
}

function planTable({ plan, progress }: ReplayReport): string {
  const { policy } = plan;
  return markdownTable(
    ['', ''],
    [
      ['hash', plan.planHash],
      ['planned', `${utc(plan.plannedAt)} by ${plan.actor}: ${plan.reason}`],
      ['approved', approval(plan)],
      ['filter', JSON.stringify(plan.filter)],
      ['letters', `${sayCount(plan.letters)}, of them ${sayCount(plan.canaryLetters)} as a canary`],
      ['canary', progress.canary],
      ['limits', `${policy.canaryFailureLimit} failed letters of the canary, ${policy.failureLimit} in all`],
      ['tries', `${policy.attempts} of a letter, ${sayCount(progress.tries)} in all`],
      [
        'intervals',
        `${sayDuration(policy.initialIntervalMs)}, times ${policy.backoff}, at most ${sayDuration(policy.maximumIntervalMs)}, jitter ${policy.jitter}`,
      ],
      ['rate', policy.ratePerSecond === null ? 'unlimited' : `${policy.ratePerSecond} letters per second`],
      ['not retryable', policy.notRetryable.join(', ') || 'none'],
    ],
  );
}

function approval({ needsApproval, approvedBy }: ReplayReport['plan']): string {
  if (approvedBy !== null) return `by ${approvedBy}`;
  return needsApproval ? 'needed and not given' : 'not needed';
}

function routeTable({ plan }: ReplayReport): string {
  if (plan.routes.length === 0) return 'The letters belong to no route.';
  return markdownTable(
    ['Route', 'Target', 'Former targets', 'Mode when planned', 'Breaker', 'Ordered'],
    plan.routes.map((route) => [
      route.route,
      `${route.targetKind} ${route.targetRef}`,
      route.formerTargetRefs.join(', ') || 'the same',
      route.mode,
      route.breaker ?? 'none',
      route.isOrdered ? 'yes' : 'no',
    ]),
  );
}

function groupTable({ groups, plan }: ReplayReport): string {
  return markdownTable(
    [
      'Route',
      'Fingerprint',
      'Code',
      'Letters',
      'Resolved',
      'Failed',
      'Skipped',
      'Waiting',
      'Tries',
      'Message',
    ],
    groups.map((group) => {
      const planned = plan.groups.find(
        ({ route, fingerprint }) => route === group.route && fingerprint === group.fingerprint,
      );
      const { letters, resolved, failed, skipped, waiting, tries } = group;
      return [
        group.route ?? 'none',
        group.fingerprint,
        planned?.failureCode ?? '',
        ...[letters, resolved, failed, skipped, waiting, tries].map(sayCount),
        planned?.message ?? '',
      ];
    }),
  );
}

function runTable({ runs }: ReplayReport): string {
  if (runs.length === 0) return 'None yet.';
  return markdownTable(
    [
      'Run',
      'Started',
      'Ended',
      'Outcome',
      'Because',
      'Actor, as claimed',
      'Reason',
      'Workflow',
      'First execution',
    ],
    runs.map((run) => [
      String(run.runNo),
      utc(run.startedAt),
      run.endedAt === null ? '' : utc(run.endedAt),
      run.outcome ?? 'under way',
      run.because ?? '',
      run.actor,
      run.reason,
      run.workflowId,
      run.runId,
    ]),
  );
}

function executionTable({ executions }: ReplayReport): string {
  if (executions === undefined || executions === null) return 'Temporal was not asked, or did not answer.';
  if (executions.length === 0) return 'Temporal has no execution of it any more.';
  return markdownTable(
    ['Run', 'Execution', 'Status', 'Events in its history', 'Started', 'Ended'],
    executions.map(({ runNo, runId, status, historyLength, startedAt, endedAt }) => [
      runNo === null ? 'refused' : String(runNo),
      runId,
      status.toLowerCase().replaceAll('_', ' '),
      sayCount(historyLength),
      utc(startedAt),
      endedAt === null ? '' : utc(endedAt),
    ]),
  );
}

function storyTable({ story }: ReplayReport): string {
  return markdownTable(
    ['When', 'What', 'Actor, as claimed', 'Reason', 'Detail'],
    story.map(({ at, what, actor, reason, detail }) => [
      utc(at),
      what.replaceAll('_', ' '),
      actor,
      reason,
      JSON.stringify(detail),
    ]),
  );
}

function leftAlone({ plan, skippedBecause }: ReplayReport): string {
  const lines = [
    ...plan.excluded.map(
      ({ because, route, letters }) =>
        `by the plan: ${sayNumber(letters, 'letter')} of ${route ?? 'no route'}, ${because.replaceAll('_', ' ')}`,
    ),
    ...skippedBecause.map((skipped) => `by a run: ${JSON.stringify(skipped)}`),
  ];
  return lines.length === 0 ? 'Nothing.' : lines.map((line) => `- ${markdownText(line)}`).join('\n');
}

function stillOpen({ stillOpen: letters }: ReplayReport): string {
  if (letters.length === 0) return 'No letter of the plan.';
  const table = markdownTable(
    ['Letter', 'Route', 'Fingerprint', 'Code', 'Because'],
    letters
      .slice(0, LISTED)
      .map(({ id, route, fingerprint, failureCode, because }) => [
        id,
        route ?? 'none',
        fingerprint,
        failureCode,
        because ?? '',
      ]),
  );
  return letters.length <= LISTED
    ? table
    : `${table}\n\nThe first ${LISTED} of at least ${letters.length}; the JSON has more.`;
}

function proof(
  { lettersSha256, conservation }: ReplayReport,
  { name, sha256 }: { readonly name: string; readonly sha256: string },
): string {
  return [
    markdownTable(
      ['', ''],
      [
        ['SHA-256 of all letters with outcome and attempt number', lettersSha256],
        ['conservation', JSON.stringify(conservation)],
        [`SHA-256 of ${name}`, sha256],
      ],
    ),
    `\`echo "${sha256}  ${name}" | sha256sum -c\` compares the JSON beside this file with it.`,
  ].join('\n\n');
}

function utc(time: string): string {
  return sayTime(new Date(time).toISOString());
}
