import { z } from 'zod';
import { strictObject } from '../config/strict-object.ts';
import { file } from './manifest-values.ts';
import { refuseValue } from './refuse-value.ts';

const limit = strictObject({ min: z.number().optional(), max: z.number().optional() }).superRefine(
  (value, context) => {
    const { min, max } = value;
    if (min === undefined && max === undefined)
      refuseValue(context, [], 'The limit has no bound.', 'Give min, max or both.');
    if (min !== undefined && max !== undefined && min > max)
      refuseValue(context, [], 'min is greater than max.', 'Swap them.');
  },
);
/** A metric of an observe step. */
export const metricSchema = strictObject({
  name: z
    .string()
    .max(60, 'Use at most 60 characters')
    .regex(/^[a-z][a-z0-9_-]*$/, 'Use lower-case letters, digits, _ and -'),
  unit: z.string(),
  file: file.meta({ description: 'One row with a numeric column `value`' }),
  pass: limit,
  fail: limit.optional(),
  consecutive_success: z.int().min(1, 'Use at least 1').default(1),
  failure_limit: z.int().min(0, 'Use 0 or more').default(0),
}).superRefine(({ pass, fail }, context) => {
  if (fail === undefined) return;
  const inside =
    (fail.min ?? -Infinity) <= (pass.min ?? -Infinity) && (fail.max ?? Infinity) >= (pass.max ?? Infinity);
  if (!inside)
    refuseValue(
      context,
      ['fail'],
      'A passing value lies outside the fail limits.',
      'Make the fail limits as wide as the pass limits, or wider.',
    );
});
