import { z } from 'zod';
import { parseDuration } from '../config/duration.ts';
import { strictObject } from '../config/strict-object.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { firstFault } from './first-fault.ts';

/** When a route tries again; durations in milliseconds. */
export interface RouteRetry {
  /** The longest wait before each try; the first is 0. As many tries as entries, then a dead letter. */
  readonly schedule: readonly number[];
  /** The longest that a target's `Retry-After` is honoured. */
  readonly retryAfterMaxMs: number;
}

const HOUR_MS = 3_600_000;
const LONGEST_WAIT_MS = 30 * 24 * HOUR_MS;

/** Ten tries within three days and a bit, the schedule that Standard Webhooks proposes. */
const DEFAULT_SCHEDULE = ['0s', '5s', '5m', '30m', '2h', '5h', '10h', '14h', '20h', '24h'];

const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== null && ms <= LONGEST_WAIT_MS) return ms;
  context.addIssue('Expected a duration of at most 720h, such as 500ms, 5s, 10m or 24h');
  return z.NEVER;
});

/** `retry` of a route's config. */
export const routeRetrySchema = strictObject({
  schedule: z
    .array(duration)
    .min(1, 'Expected at least one duration')
    .max(50, 'Expected at most 50 durations')
    .refine((steps) => steps[0] === 0, 'The first try is made at once: expected 0s at the start')
    .prefault(DEFAULT_SCHEDULE),
  retry_after_max: duration.prefault('24h'),
}).prefault({});

const configSchema = z.looseObject({ retry: routeRetrySchema });
const readBefore = new WeakMap<object, RouteRetry>();

/**
 * When a route tries again, out of its config. Reading the same object again costs nothing.
 *
 * @throws SluiceError `route_refused` where `retry` is malformed
 */
export function routeRetry(config: Readonly<Record<string, unknown>>): RouteRetry {
  const known = readBefore.get(config);
  if (known !== undefined) return known;
  const parsed = configSchema.safeParse(config, { reportInput: true });
  if (!parsed.success) {
    throw new SluiceError('route_refused', {
      what: `The config of the route cannot be used: ${firstFault(parsed.error)}.`,
      expected: '`retry: { schedule: ["0s", "5s", …], retry_after_max: "24h" }`, both optional.',
      safe: 'Correct it with `sluice route set`. What is queued stays queued.',
    });
  }
  const { schedule, retry_after_max: retryAfterMaxMs } = parsed.data.retry;
  const retry = { schedule, retryAfterMaxMs };
  readBefore.set(config, retry);
  return retry;
}

/** What is wrong with `retry` of a route's config, without a full stop; null where nothing is. */
export function routeRetryFault(config: Readonly<Record<string, unknown>>): string | null {
  const parsed = configSchema.safeParse(config, { reportInput: true });
  return parsed.success ? null : firstFault(parsed.error);
}
