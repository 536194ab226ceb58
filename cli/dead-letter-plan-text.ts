import type { PlanExclusion, PlanGroup, PlanRoute, ReplayPlan, ReplayPolicy } from '../contracts/replay.ts';
import { stillFails } from '../replay/leave-out-failing.ts';
import { seconds } from './dead-letter-list.ts';
import { aligned } from './dead-letter-show-text.ts';
import { sayDuration } from './say-duration.ts';
import { textTable } from './text-table.ts';

/** Hex digits of a hash that people are shown. */
const SHORT = 16;

/** A plan for people: what would be replayed, where to, how, and the command that comes next. */
export function planText(plan: ReplayPlan, target: string): string {
  const { planHash, groups, routes, excluded } = plan;
  if (planHash === null)
    return [
      `nothing on ${target} is to be replayed; no plan was stored`,
      ...(excluded.length === 0 ? ['no dead letter matches'] : [excludedTable(excluded)]),
    ].join('\n');
  return [
    ...aligned([
      ['plan', planHash],
      ['letters', `${plan.letters} on ${target}, of them ${plan.canaryLetters} as a canary`],
      ['policy', policyText(plan.policy)],
      ['planned', `${seconds(iso(plan.plannedAt))} by ${plan.actor}: ${plan.reason}`],
      ['expires', seconds(iso(plan.expiresAt))],
      ['approval', approvalText(plan)],
    ]),
    textTable(
      ['route', 'code', 'fingerprint', 'letters', 'tried out', 'because', 'message'],
      groups.map((group) => [
        group.route ?? '-',
        group.failureCode,
        group.fingerprint,
        group.letters,
        triedText(group),
        group.because ?? '-',
        group.message,
      ]),
    ),
    ...(routes.length === 0 ? [] : [routesTable(routes)]),
    ...routes.flatMap(changedTarget),
    ...(excluded.length === 0 ? [] : ['left alone:', excludedTable(excluded)]),
    ...failingText(groups),
    `next: ${nextCommand(plan, target)}`,
  ].join('\n');
}

/** What to know before letters are replayed that still fail when they are tried out. */
function failingText(groups: readonly PlanGroup[]): readonly string[] {
  const failing = groups.filter(stillFails).reduce((sum, { letters }) => sum + letters, 0);
  if (failing === 0) return [];
  return [
    `${failing} letters are of kinds that still fail: replayed now they fail again. Mend the cause first, or plan with --leave-out-failing.`,
  ];
}

/** The command that comes after a plan; null where there is none. */
export function nextCommand(
  { planHash, needsApproval, approvedBy }: Pick<ReplayPlan, 'planHash' | 'needsApproval' | 'approvedBy'>,
  target: string,
): string | null {
  if (planHash === null) return null;
  const plan = `${planHash.slice(0, SHORT)} --target ${target}`;
  return needsApproval && approvedBy === null
    ? `sluice dead-letter approve ${plan} --actor SOMEBODY_ELSE --reason "…"`
    : `sluice dead-letter replay ${plan} --reason "…"`;
}

/** What trying letters of a group out has shown. */
export function triedText({ tried, letters, fixed, stillFailing, unknown }: PlanGroup): string {
  if (tried === 0) return unknown > 0 ? 'unknown' : 'not tried';
  const verdicts = [
    ...(fixed > 0 ? [`${fixed} fixed`] : []),
    ...(stillFailing > 0 ? [`${stillFailing} still failing`] : []),
    ...(unknown > 0 ? [`${unknown} unknown`] : []),
  ];
  return `${verdicts.join(', ')} (${tried} of ${letters})`;
}

/** How a plan treats its letters. */
export function policyText(policy: ReplayPolicy): string {
  const { canary, canaryFailureLimit, failureLimit, ratePerSecond, attempts, notRetryable } = policy;
  const first = canary === 'each' ? 'one of each kind' : `${canary} letters`;
  const repeats =
    attempts === 1
      ? ''
      : `, again after ${sayDuration(policy.initialIntervalMs)} times ${policy.backoff}, at most ${sayDuration(policy.maximumIntervalMs)}, jitter ${policy.jitter}`;
  return [
    canary === 0 ? 'no canary' : `canary ${first}, of which ${canaryFailureLimit} may fail`,
    `stops above ${failureLimit} failed letters`,
    ratePerSecond === null ? 'as fast as it goes' : `${ratePerSecond} letters/s`,
    `${attempts} ${attempts === 1 ? 'try' : 'tries'} each${repeats}`,
    ...(notRetryable.length === 0 ? [] : [`no second try after ${notRetryable.join(', ')}`]),
  ].join('; ');
}

function approvalText({ needsApproval, approvedBy }: ReplayPlan): string {
  if (approvedBy !== null) return `given by ${approvedBy}`;
  return needsApproval ? 'needed from somebody else' : 'not needed';
}

function routesTable(routes: readonly PlanRoute[]): string {
  return textTable(
    ['route', 'mode', 'breaker', 'ordered', 'target'],
    routes.map(({ route, targetKind, targetRef, mode, breaker, isOrdered }) => [
      route,
      mode.replaceAll('_', ' '),
      breaker ?? '-',
      isOrdered ? 'yes' : 'no',
      `${targetKind} ${targetRef}`,
    ]),
  );
}

function changedTarget({ route, targetRef, formerTargetRefs }: PlanRoute): readonly string[] {
  if (formerTargetRefs.length === 0) return [];
  return [
    `target changed since the letters were written: ${route} goes to ${targetRef}; they were meant for ${formerTargetRefs.join(', ')}`,
  ];
}

function excludedTable(excluded: readonly PlanExclusion[]): string {
  return textTable(
    ['route', 'letters', 'because'],
    excluded.map(({ route, letters, because }) => [route ?? '-', letters, EXCLUDED[because] ?? because]),
  );
}

const EXCLUDED: Readonly<Record<string, string>> = {
  already_delivered: 'already delivered',
  queued: 'a delivery of it is queued',
  dry_run: 'its route is in dry run; --include-dry-run takes it',
  route_removed: 'its route was removed',
  route_disabled: 'its route is disabled',
  not_taken: 'its route does not take it any more',
};

/** A time of the database, in UTC. */
export function iso(time: string): string {
  return new Date(time).toISOString();
}
