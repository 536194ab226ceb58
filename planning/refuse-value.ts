import type { z } from 'zod';

/** Adds a problem of a value that zod's own rules let through: what is true, and what was expected. */
export function refuseValue(
  context: z.core.$RefinementCtx<unknown>,
  path: PropertyKey[],
  message: string,
  expected: string,
  code?: 'script_without_undo',
): void {
  context.addIssue({ code: 'custom', path, message, params: { expected, code } });
}
