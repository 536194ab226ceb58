import { z } from 'zod';
import { strictObject } from '../config/strict-object.ts';
import { commonRouteConfig } from './common-route-config.ts';
import { firstFault } from './first-fault.ts';
import { headerFault } from './header-fault.ts';
import type { RouteRetry } from './route-retry.ts';

/** What the config of a route says about its HTTP requests, with what is not said filled in. */
export interface HttpRouteConfig {
  readonly allowHttp: boolean;
  /** From the first byte sent to the last received, in milliseconds. */
  readonly timeoutMs: number;
  readonly maxBodyBytes: number;
  /** Checked; names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Names of secrets; each signs, the first first. Empty: nothing signs. */
  readonly signingSecrets: readonly string[];
  /** Whether the route says that nothing is to sign. */
  readonly isUnsigned: boolean;
  /** Whether a Directus flow answers before it is done; null where the route does not say. */
  readonly answersBeforeDone: boolean | null;
  readonly retry: RouteRetry;
}

const headers = z.record(z.string(), z.string()).superRefine((found, context) => {
  const names = Object.keys(found).map((name) => name.toLowerCase());
  if (names.length > 32) context.addIssue('Expected at most 32 headers');
  if (new Set(names).size < names.length) context.addIssue('The same header is named twice');
  for (const [name, value] of Object.entries(found)) {
    const fault = headerFault(name, value);
    if (fault !== null) context.addIssue(fault);
  }
});

const signingSecrets = z
  .array(
    z
      .string()
      .regex(
        /^(?!whsec_)[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/,
        'Expected names of `delivery.secrets`, no secret',
      ),
  )
  .min(1, 'Expected one or two names')
  .max(2, 'Expected one or two names')
  .refine((names) => new Set(names).size === names.length, 'The same secret is named twice');

const common = {
  ...commonRouteConfig,
  allow_http: z.boolean().default(false),
  headers: headers.default({}),
};

const SCHEMAS = {
  external_endpoint: strictObject({
    ...common,
    signing_secrets: signingSecrets.optional(),
    unsigned: z.boolean().default(false),
  }),
  directus_flow: strictObject({ ...common, async: z.boolean().optional() }),
};
type HttpKind = keyof typeof SCHEMAS;

const readBefore = {
  external_endpoint: new WeakMap<object, HttpRouteConfig>(),
  directus_flow: new WeakMap<object, HttpRouteConfig>(),
};

/**
 * Reads the config of a route to a kind that speaks HTTP; unknown keys are faults, since a misspelt
 * `signing_secrets` would send unsigned. Reading the same object again costs nothing.
 *
 * @returns the config, or what is wrong with it in one sentence without a full stop
 */
export function httpRouteConfig(
  kind: HttpKind,
  config: Readonly<Record<string, unknown>>,
): HttpRouteConfig | string {
  const known = readBefore[kind].get(config);
  if (known !== undefined) return known;
  const parsed = SCHEMAS[kind].safeParse(config, { reportInput: true });
  if (!parsed.success) return firstFault(parsed.error);
  const { data } = parsed;
  const read: HttpRouteConfig = {
    allowHttp: data.allow_http,
    timeoutMs: data.timeout_ms,
    maxBodyBytes: data.max_body_bytes,
    headers: Object.fromEntries(
      Object.entries(data.headers).map(([name, value]) => [name.toLowerCase(), value]),
    ),
    signingSecrets: ('signing_secrets' in data ? data.signing_secrets : undefined) ?? [],
    isUnsigned: 'unsigned' in data && data.unsigned,
    answersBeforeDone: ('async' in data ? data.async : undefined) ?? null,
    retry: { schedule: data.retry.schedule, retryAfterMaxMs: data.retry.retry_after_max },
  };
  readBefore[kind].set(config, read);
  return read;
}
