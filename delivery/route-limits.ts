import { z } from 'zod';
import { strictObject } from '../config/strict-object.ts';
import { commonRouteConfig } from './common-route-config.ts';
import { firstFault } from './first-fault.ts';
import { readTextPath, type TextPath } from './vector/text-path.ts';

/** What the config of a route to a workflow, a report or a vector table says, with what is not said filled in. */
export interface RouteLimits {
  /** How long one try may take, in milliseconds. */
  readonly timeoutMs: number;
  /** The most that one event may come to, as JSON in UTF-8. */
  readonly maxBodyBytes: number;
  /** Where the text to embed is in the payload; empty for kinds that embed nothing. */
  readonly textPath: TextPath;
}

const textPath = z
  .string()
  .default('text')
  .transform((text, context) => {
    const path = readTextPath(text);
    if (path !== null) return path;
    context.addIssue('Expected a path such as text, $.body.text or parts[0].text');
    return z.NEVER;
  });

const limitsOf = (data: { timeout_ms: number; max_body_bytes: number }, path: TextPath): RouteLimits => ({
  timeoutMs: data.timeout_ms,
  maxBodyBytes: data.max_body_bytes,
  textPath: path,
});
const plain = strictObject(commonRouteConfig).transform((data) => limitsOf(data, []));

const SCHEMAS = {
  workflow: plain,
  report: plain,
  vector: strictObject({ ...commonRouteConfig, text_path: textPath }).transform((data) =>
    limitsOf(data, data.text_path),
  ),
};

const readBefore = {
  workflow: new WeakMap<object, RouteLimits>(),
  report: new WeakMap<object, RouteLimits>(),
  vector: new WeakMap<object, RouteLimits>(),
};

/**
 * Reads the config of a route to a kind that speaks no webhook; unknown keys are faults. Reading the same object
 * again costs nothing.
 *
 * @returns the limits, or what is wrong in one sentence without a full stop
 */
export function routeLimits(
  kind: keyof typeof SCHEMAS,
  config: Readonly<Record<string, unknown>>,
): RouteLimits | string {
  const known = readBefore[kind].get(config);
  if (known !== undefined) return known;
  const parsed = SCHEMAS[kind].safeParse(config, { reportInput: true });
  if (!parsed.success) return firstFault(parsed.error);
  readBefore[kind].set(config, parsed.data);
  return parsed.data;
}
