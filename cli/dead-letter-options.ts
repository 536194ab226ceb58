import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../config/duration.ts';
import { REPLAY_POLICY, type ReplayFilter, type ReplayPolicy } from '../contracts/replay.ts';
import { collect, duration, positiveInt } from './options.ts';
import { usage } from './usage.ts';

/** Which letters are meant; what is absent does not matter. Times are ISO 8601. */
export interface LetterOptions {
  readonly route?: readonly string[];
  readonly code?: readonly string[];
  readonly fingerprint?: readonly string[];
  readonly state?: readonly string[];
  readonly since?: string;
  readonly until?: string;
}

/** Options of a plan: which letters, and those of {@link policyOf}. Durations are milliseconds. */
export interface PlanOptions extends LetterOptions {
  readonly maxLetters?: number;
  readonly maxReplays?: number;
  readonly includeDryRun?: boolean;
  readonly canary?: number | 'each';
  readonly canaryFailureLimit?: number;
  readonly failureLimit?: number;
  readonly rate?: number | 'unlimited';
  readonly attempts?: number;
  readonly initialInterval?: number;
  readonly backoff?: number;
  readonly maximumInterval?: number;
  readonly jitter?: number;
  readonly notRetryable?: readonly string[];
}

/** Adds `--route --code --fingerprint --since --until`. */
export function choosesLetters(command: Command): Command {
  return command
    .option('--route <code>', 'letters of this route; may be repeated', collect)
    .option('--code <code>', 'letters whose newest failure has this code; may be repeated', collect)
    .option('--fingerprint <digits>', 'letters of this kind of failure; may be repeated', fingerprints)
    .option('--since <when>', 'failed last since then: ISO 8601, or a duration ago such as 2h', moment)
    .option('--until <when>', 'failed last before then: ISO 8601, or a duration ago', moment);
}

/** Adds the options of a replay policy. */
export function choosesPolicy(command: Command): Command {
  const { canaryFailureLimit, failureLimit, attempts, jitter, backoff } = REPLAY_POLICY;
  return command
    .option(
      '--canary <letters>',
      'letters that go first: a number, or each kind of failure one (each)',
      canary,
    )
    .option('--canary-failure-limit <letters>', `of them may fail (${canaryFailureLimit})`, amount)
    .option('--failure-limit <letters>', `letters that may fail before it stops (${failureLimit})`, amount)
    .option('--rate <letters>', `letters per second, or unlimited (${REPLAY_POLICY.ratePerSecond})`, rate)
    .option('--attempts <tries>', `tries of a letter (${attempts})`, amount)
    .option('--initial-interval <duration>', 'before the second try (1s)', duration)
    .option('--backoff <factor>', `every further interval is so much longer (${backoff})`, amount)
    .option('--maximum-interval <duration>', 'no interval is longer (60s)', duration)
    .option('--jitter <part>', `part of an interval that is drawn by lot, 0 to 1 (${jitter})`, amount)
    .option('--not-retryable <code>', 'failure code that gets no second try; may be repeated', collect);
}

/** Adds `--max-letters --max-replays`. */
export function boundsLetters(command: Command, defaults = { letters: '', replays: '' }): Command {
  return command
    .option('--max-letters <letters>', `the oldest so many${defaults.letters}`, positiveInt)
    .option(
      '--max-replays <times>',
      `leave letters alone that were replayed so often${defaults.replays}`,
      positiveInt,
    );
}

/** `--state`, one of these; may be repeated. */
export function stateOption(choices: readonly string[], says: string): Option {
  return new Option('--state <state>', says).argParser((value: string, before?: readonly string[]) => {
    if (!choices.includes(value))
      throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`);
    return collect(value, before);
  });
}

/**
 * The filter of a plan or a policy.
 *
 * @throws SluiceError `usage` where `--until` is not after `--since`, or an id is no uuid
 */
export function filterOf(ids: readonly string[], options: PlanOptions): ReplayFilter {
  demandTimes(options);
  const { route, code, fingerprint, state, since, until } = options;
  return present({
    routes: route,
    codes: code,
    fingerprints: fingerprint,
    failedSince: since,
    failedUntil: until,
    ids: ids.length === 0 ? undefined : uuids(ids),
    states: state as ReplayFilter['states'],
    maxLetters: options.maxLetters,
    maxReplays: options.maxReplays,
    includeDryRun: options.includeDryRun,
  });
}

/** The policy as far as it is given; the database judges it and fills in the rest. */
export function policyOf(options: PlanOptions): Partial<ReplayPolicy> {
  return present({
    canary: options.canary,
    canaryFailureLimit: options.canaryFailureLimit,
    failureLimit: options.failureLimit,
    ratePerSecond: options.rate === 'unlimited' ? null : options.rate,
    attempts: options.attempts,
    initialIntervalMs: options.initialInterval,
    backoff: options.backoff,
    maximumIntervalMs: options.maximumInterval,
    jitter: options.jitter,
    notRetryable: options.notRetryable,
  });
}

/** @throws SluiceError `usage` */
export function demandTimes({ since, until }: LetterOptions): void {
  if (since !== undefined && until !== undefined && since >= until)
    throw usage(`--until ${until} is not after --since ${since}.`, 'A span of time with a length.');
}

/** Ids of letters, in lower case. @throws SluiceError `usage` where one is no uuid */
export function uuids(ids: readonly string[]): readonly string[] {
  const wrong = ids.find((id) => !UUID.test(id));
  if (wrong !== undefined)
    throw usage(
      `${wrong} is no id of a dead letter.`,
      'A uuid, as `sluice dead-letter list --letters` shows it.',
    );
  return [...new Set(ids.map((id) => id.toLowerCase()))];
}

export const PLAN_HASH = 'hash of a plan, or the first 8 digits of it or more';
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
export const FINGERPRINT = /^[0-9a-f]{16}$/;

/** Without the keys whose value is undefined. */
export function present<T extends object>(given: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function fingerprints(value: string, before?: readonly string[]): readonly string[] {
  if (!FINGERPRINT.test(value)) throw new InvalidArgumentError('Expected 16 hex digits.');
  return collect(value, before);
}

/** A moment as ISO 8601, from one or from a duration before now. */
function moment(value: string): string {
  const ago = parseDuration(value);
  if (ago !== null) return new Date(Date.now() - ago).toISOString();
  const at = /^\d{4}-\d\d-\d\d(?:[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?$/.test(value)
    ? Date.parse(value)
    : Number.NaN;
  if (Number.isNaN(at))
    throw new InvalidArgumentError(
      'Expected a time such as 2026-01-31T09:00:00Z, or a duration ago such as 2h.',
    );
  return new Date(at).toISOString();
}

function rate(value: string): number | 'unlimited' {
  return value === 'unlimited' ? value : amount(value);
}

function canary(value: string): number | 'each' {
  return value === 'each' ? value : amount(value);
}

/** A number; whether it makes sense is for the database to say. */
function amount(value: string): number {
  if (!/^-?\d+(?:\.\d+)?$/.test(value)) throw new InvalidArgumentError('Expected a number.');
  return Number(value);
}
