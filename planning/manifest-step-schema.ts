import { z } from 'zod';
import { parseDuration } from '../config/duration.ts';
import { strictObject } from '../config/strict-object.ts';
import { PACKAGE_WORKFLOWS } from '../contracts/names.ts';
import { duration, file, files, kebab, reason, scalar, title } from './manifest-values.ts';
import { metricSchema } from './metric-schema.ts';
import { refuseValue } from './refuse-value.ts';

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
const child = strictObject({
  workflow: z.enum(
    PACKAGE_WORKFLOWS,
    `Use a workflow that the package registers: ${PACKAGE_WORKFLOWS.join(', ')}`,
  ),
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
      refuseValue(
        context,
        ['mode'],
        'No backup is taken, and no reason is given.',
        'Add reason: "…"; the evidence prints it.',
      );
    if (step.mode === 'dump' && step.reason !== undefined)
      refuseValue(
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
      refuseValue(
        context,
        ['irreversible'],
        'The step is called irreversible without a reason.',
        'Add reason: "…"; the evidence prints it.',
      );
    if (!step.irreversible && step.reason !== undefined)
      refuseValue(
        context,
        ['reason'],
        'A reason is given for nothing.',
        'Remove it, or add irreversible: true.',
      );
    for (const [index, pair] of step.files.entries()) {
      if (pair.undo !== undefined || step.irreversible) continue;
      refuseValue(
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
        refuseValue(context, ['expires'], 'The approval expires at once.', 'Give it time, such as 24h.');
    },
  ),
  run: strictObject({ ...common, kind: z.literal('run'), ...child.shape }).superRefine(refuseTarget),
  observe: strictObject({
    ...common,
    kind: z.literal('observe'),
    window: duration,
    interval: duration,
    alongside: child.superRefine(refuseTarget).optional(),
    metrics: z.array(metricSchema).min(1, 'Name at least one metric'),
  }).superRefine((step, context) => {
    const interval = parseDuration(step.interval) ?? 0;
    const window = parseDuration(step.window) ?? 0;
    if (interval === 0)
      return refuseValue(context, ['interval'], 'The interval is zero.', 'Use at least 1ms.');
    if (window < interval)
      return refuseValue(
        context,
        ['window'],
        'The window is shorter than the interval.',
        'Make the window longer, or the interval shorter.',
      );
    const samples = Math.floor(window / interval) + 1;
    const names = step.metrics.map((one) => one.name);
    for (const [index, one] of step.metrics.entries()) {
      if (names.indexOf(one.name) !== index)
        refuseValue(
          context,
          ['metrics', index, 'name'],
          `The metric \`${one.name}\` is named twice.`,
          'Give each metric a name of its own.',
        );
      if (one.consecutive_success > samples)
        refuseValue(
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

export type ManifestStep = z.infer<typeof manifestStepSchema>;

function refuseTarget(
  step: { input: Record<string, unknown> },
  context: z.core.$RefinementCtx<unknown>,
): void {
  if (Object.hasOwn(step.input, 'target'))
    refuseValue(
      context,
      ['input', 'target'],
      'The input names a target.',
      'Remove it; the target of the run is added by the engine.',
    );
}
