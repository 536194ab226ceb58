import { z } from 'zod';
import { DURATION_PATTERN, parseDuration } from '../config/duration.ts';
import { strictObject } from '../config/strict-object.ts';
import { FORBIDDEN_ACTIONS } from '../contracts/forbidden-actions.ts';

const kebab = z
  .string()
  .max(60, 'Use at most 60 characters')
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'Use lower-case letters, digits and single hyphens, such as open-gate');
const title = z
  .string()
  .max(160, 'Use at most 160 characters')
  .regex(/^\S[^\r\n]*$/, 'Use one line that says what happens');
const reason = z.string().regex(/\S/, 'Give the reason in words');
const duration = z
  .string()
  .regex(DURATION_PATTERN, 'Use a whole number and ms, s, m or h, such as 500ms, 2s, 10m or 24h')
  .meta({ examples: ['500ms', '2s', '10m', '24h'] });
const file = z
  .string()
  .regex(/^[^\\/\0][^\\\0]*$/, 'Use a path relative to the folder of the manifest, with forward slashes')
  .meta({ description: 'SQL file, relative to the folder of this manifest' });
const files = z.array(file).min(1, 'Name at least one SQL file');
const scalar = z.union(
  [z.string(), z.number(), z.boolean(), z.null()],
  'Use a text, a number, true, false or null',
);

const common = {
  id: kebab.meta({ description: 'Unique in this manifest' }),
  title,
  on_fail: z
    .enum(['rollback', 'hold'])
    .optional()
    .meta({ description: 'What a failed step leads to; rollback by default' }),
};

const filePair = strictObject({
  do: file,
  undo: file.optional(),
  done_when: file.optional().meta({
    description:
      'For a file that cannot run in a transaction: a query that reports pass once its effect is there',
  }),
});
const limit = strictObject({ min: z.number().optional(), max: z.number().optional() }).superRefine(
  (value, context) => {
    const { min, max } = value;
    if (min === undefined && max === undefined)
      refuse(context, [], 'The limit has no bound.', 'Give min, max or both.');
    if (min !== undefined && max !== undefined && min > max)
      refuse(context, [], 'min is greater than max.', 'Swap them.');
  },
);
const metric = strictObject({
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
    refuse(
      context,
      ['fail'],
      'A passing value lies outside the fail limits.',
      'Make the fail limits as wide as the pass limits, or wider.',
    );
});
const child = strictObject({
  workflow: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9_-]*$/, 'Use the name of a workflow that the package registers'),
  input: z.record(z.string(), scalar).default({}),
});

const steps = {
  check: strictObject({ ...common, kind: z.literal(['check', 'verify']), files }),
  probe: strictObject({
    ...common,
    kind: z.literal('probe'),
    files,
    after: z.union([file, files], 'Name one SQL file or a list of them').optional(),
  }),
  backup: strictObject({
    ...common,
    kind: z.literal('backup'),
    mode: z.enum(['dump', 'none']).default('dump'),
    reason: reason.optional(),
  }).superRefine((step, context) => {
    if (step.mode === 'none' && step.reason === undefined)
      refuse(
        context,
        ['mode'],
        'No backup is taken, and no reason is given.',
        'Add reason: "…"; the evidence prints it.',
      );
    if (step.mode === 'dump' && step.reason !== undefined)
      refuse(
        context,
        ['reason'],
        'A reason is given although a backup is taken.',
        'Remove it, or set mode: none.',
      );
  }),
  change: strictObject({
    ...common,
    kind: z.literal(['migrate', 'enable']),
    files: z.array(filePair).min(1, 'Name at least one SQL file'),
    holds: file.optional(),
    irreversible: z.literal(true).optional(),
    reason: reason.optional(),
  }).superRefine((step, context) => {
    if (step.irreversible && step.reason === undefined)
      refuse(
        context,
        ['irreversible'],
        'The step is called irreversible without a reason.',
        'Add reason: "…"; the evidence prints it.',
      );
    if (!step.irreversible && step.reason !== undefined)
      refuse(context, ['reason'], 'A reason is given for nothing.', 'Remove it, or add irreversible: true.');
    for (const [index, pair] of step.files.entries()) {
      if (pair.undo !== undefined || step.irreversible) continue;
      refuse(
        context,
        ['files', index],
        `\`${pair.do}\` has no undo.`,
        `Add undo: with the file that takes it back, or irreversible: true with a reason.`,
        'script_without_undo',
      );
    }
  }),
  approve: strictObject({ ...common, kind: z.literal('approve'), expires: duration }).superRefine(
    (step, context) => {
      if (parseDuration(step.expires) === 0)
        refuse(context, ['expires'], 'The approval expires at once.', 'Give it time, such as 24h.');
    },
  ),
  run: strictObject({ ...common, kind: z.literal('run'), ...child.shape }).superRefine(refuseTarget),
  observe: strictObject({
    ...common,
    kind: z.literal('observe'),
    window: duration,
    interval: duration,
    alongside: child.superRefine(refuseTarget).optional(),
    metrics: z.array(metric).min(1, 'Name at least one metric'),
  }).superRefine((step, context) => {
    const interval = parseDuration(step.interval) ?? 0;
    const window = parseDuration(step.window) ?? 0;
    if (interval === 0) return refuse(context, ['interval'], 'The interval is zero.', 'Use at least 1ms.');
    if (window < interval)
      return refuse(
        context,
        ['window'],
        'The window is shorter than the interval.',
        'Make the window longer, or the interval shorter.',
      );
    const samples = Math.floor(window / interval) + 1;
    const names = step.metrics.map((one) => one.name);
    for (const [index, one] of step.metrics.entries()) {
      if (names.indexOf(one.name) !== index)
        refuse(
          context,
          ['metrics', index, 'name'],
          `The metric \`${one.name}\` is named twice.`,
          'Give each metric a name of its own.',
        );
      if (one.consecutive_success > samples)
        refuse(
          context,
          ['metrics', index, 'consecutive_success'],
          `The window holds ${samples} samples, fewer than must pass in a row.`,
          'Make the window longer or the number smaller.',
        );
    }
  }),
};

/** One step, before its files are read. */
export const manifestStepSchema = z.discriminatedUnion('kind', [
  steps.check,
  steps.backup,
  steps.change,
  steps.probe,
  steps.approve,
  steps.run,
  steps.observe,
]);

/** `macros/<name>/macro.yaml`; its JSON Schema is published as `macros/macro.schema.json`. */
export const manifestSchema = strictObject({
  macro: kebab.meta({ description: 'Name of the macro, which is the name of its folder' }),
  title,
  target: z
    .string()
    .min(1, 'Use the name of a target')
    .optional()
    .meta({ description: 'The only target this macro may be planned for' }),
  lifts: z
    .array(z.literal(Object.keys(FORBIDDEN_ACTIONS).filter(isForbiddenAction)))
    .default([])
    .meta({ description: 'Forbidden actions that this macro names and thereby lifts' }),
  next: kebab.optional().meta({ description: 'The exact next macro' }),
  steps: z.array(manifestStepSchema).min(1, 'Give at least one step'),
  disable: z
    .array(strictObject({ id: kebab, title, file }))
    .default([])
    .meta({ description: 'Runs when a rollback script refuses because history exists' }),
}).meta({ title: 'Manifest of a sluice macro' });

export type Manifest = z.infer<typeof manifestSchema>;
export type ManifestStep = z.infer<typeof manifestStepSchema>;

function isForbiddenAction(name: string): name is keyof typeof FORBIDDEN_ACTIONS {
  return Object.hasOwn(FORBIDDEN_ACTIONS, name);
}

type Refinement = z.core.$RefinementCtx<unknown>;

function refuseTarget(step: { input: Record<string, unknown> }, context: Refinement): void {
  if (Object.hasOwn(step.input, 'target'))
    refuse(
      context,
      ['input', 'target'],
      'The input names a target.',
      'Remove it; the target of the run is added by the engine.',
    );
}

function refuse(
  context: Refinement,
  path: PropertyKey[],
  message: string,
  expected: string,
  code?: 'script_without_undo',
): void {
  context.addIssue({ code: 'custom', path, message, params: { expected, code } });
}
