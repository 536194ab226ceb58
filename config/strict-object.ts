import { z } from 'zod';

/**
 * An object that refuses unknown keys. The message of its `unrecognized_keys` issue is the list of the known
 * keys, from which `explainIssue` makes its sentence.
 */
export function strictObject<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape).join(', ');
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? known : undefined),
  });
}
