import { lettersOf, lettersTable, seconds } from './dead-letter-list.ts';
import type { LetterFailure, LetterRoute, ShownLetter } from './dead-letter-read-one.ts';
import type { ShownGroup } from './dead-letter-show.ts';
import { textTable } from './text-table.ts';

/** One letter, for people. */
export function letterText(letter: ShownLetter): string {
  const { event, routeThen, routeNow, firstFailure, lastFailure, attempts, states, plans } = letter;
  return [
    ...aligned([
      ['dead letter', letter.id],
      ['state', letter.state],
      ...states.map(({ state, at, actor, reason }): Line => {
        if (actor === null) return ['written', seconds(at)];
        return [state === 'open' ? 'opened again' : state, `${seconds(at)} by ${actor}: ${reason ?? ''}`];
      }),
      ['route', letter.route ?? 'none: no route could be found for the event'],
      ...(letter.route === null ? [] : routeLines(routeThen, routeNow, letter.targetChanged)),
      ['fingerprint', letter.fingerprint],
      ['first failure', firstFailure === null ? 'not told' : failureText(firstFailure)],
      ['last failure', failureText(lastFailure)],
      ['replays', String(letter.replays)],
      ['key', letter.idempotencyKey],
      ['event', `${event.event_domain}.${event.event_type} ${event.event_subject ?? ''}`.trimEnd()],
      ['event id', `${event.id}, written ${event.created_at} by ${event.actor}`],
      ['payload', JSON.stringify(event.payload)],
    ]),
    attempts.length === 0
      ? 'no attempts: they were retired with their partition'
      : textTable(
          ['attempt', 'at', 'status', 'failure', 'target', 'detail'],
          attempts.map(({ attemptNo, at, status, failure, kind, target, detail }) => [
            attemptNo,
            seconds(at),
            status,
            failure ?? '-',
            kind === null ? '-' : `${kind} ${target}`,
            JSON.stringify(detail),
          ]),
        ),
    ...(plans.length === 0
      ? ['in no plan']
      : [
          textTable(
            ['plan', 'planned', 'plan is', 'letter', 'tries', 'because', 'planned by'],
            plans.map(({ planHash, plannedAt, planState, state, tries, because, actor, reason }) => [
              planHash.slice(0, 12),
              seconds(plannedAt),
              planState,
              state,
              tries,
              because ?? '-',
              `${actor}: ${reason}`,
            ]),
          ),
        ]),
  ].join('\n');
}

/** A kind of failure, for people. */
export function groupText(group: ShownGroup): string {
  return [
    ...aligned([
      ['fingerprint', group.fingerprint],
      ['route', group.route ?? 'none'],
      ['code', group.code],
      ['message', group.message],
      ['letters', lettersOf(group)],
      ['failed', `first ${seconds(group.firstFailedAt)}, last ${seconds(group.lastFailedAt)}`],
      ['replays', `${group.replays}, at most ${group.mostReplays} of one letter`],
    ]),
    lettersTable(group.newest),
    ...(group.newest.length < group.letters ? [`the newest ${group.newest.length} of ${group.letters}`] : []),
  ].join('\n');
}

type Line = readonly [string, string];

function routeLines(then: LetterRoute | null, now: LetterRoute | null, changed: boolean): readonly Line[] {
  const removed = 'there is no such route any more';
  if (then === null) return [['target', now === null ? removed : routeText(now)]];
  if (now === null)
    return [
      ['target then', routeText(then)],
      ['target now', removed],
    ];
  if (!changed) return [['target', `${routeText(now)}, the same as then`]];
  return [
    ['target then', routeText(then)],
    ['target now', `${routeText(now)} — changed since the letter was written`],
  ];
}

function routeText({ kind, target, enabled, dryRun }: LetterRoute): string {
  return `${kind} ${target}${enabled ? (dryRun ? ' (dry run)' : '') : ' (disabled)'}`;
}

function failureText({ attemptNo, code, detail, at }: LetterFailure): string {
  const message = typeof detail.message === 'string' ? `: ${detail.message.replaceAll(/\s+/g, ' ')}` : '';
  return `${seconds(at)}, attempt ${attemptNo}, ${code}${message}`;
}

/** Names in a column of their own. */
export function aligned(lines: readonly Line[]): readonly string[] {
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
}
