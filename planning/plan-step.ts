import { parseDuration } from '../config/duration.ts';
import type { MetricLimit, PlannedMetric, PlannedStep, ScriptRef } from '../contracts/plan.ts';
import type { Manifest } from './manifest-schema.ts';
import type { ManifestStep } from './manifest-step-schema.ts';

type Metric = Extract<ManifestStep, { kind: 'observe' }>['metrics'][number];
type Child = NonNullable<Extract<ManifestStep, { kind: 'observe' }>['alongside']>;

/**
 * A step of the manifest as the plan holds it.
 *
 * @param ref the pinned text of a file that the manifest names
 */
export function planStep(step: ManifestStep, ref: (file: string) => ScriptRef): PlannedStep {
  const onFail = step.on_fail ?? 'rollback';
  const { id, title } = step;
  switch (step.kind) {
    case 'check':
    case 'verify':
      return { id, kind: step.kind, title, onFail, scripts: step.files.map(ref), after: [] };
    case 'probe': {
      const after = typeof step.after === 'string' ? [step.after] : (step.after ?? []);
      return { id, kind: step.kind, title, onFail, scripts: step.files.map(ref), after: after.map(ref) };
    }
    case 'backup':
      return { id, kind: step.kind, title, onFail, mode: step.mode, reason: step.reason ?? null };
    case 'migrate':
    case 'enable':
      return {
        id,
        kind: step.kind,
        title,
        onFail,
        files: step.files.map((pair) => ({
          do: ref(pair.do),
          undo: pair.undo === undefined ? null : ref(pair.undo),
          ...(pair.done_when === undefined ? {} : { doneWhen: ref(pair.done_when) }),
        })),
        holds: step.holds === undefined ? null : ref(step.holds),
        irreversibleReason: step.irreversible ? (step.reason ?? null) : null,
      };
    case 'approve':
      return { id, kind: step.kind, title, onFail, expiresMs: milliseconds(step.expires) };
    case 'run':
      return { id, kind: step.kind, title, onFail, ...planChild(step) };
    case 'observe':
      return {
        id,
        kind: step.kind,
        title,
        onFail,
        windowMs: milliseconds(step.window),
        intervalMs: milliseconds(step.interval),
        metrics: step.metrics.map((metric) => planMetric(metric, ref)),
        alongside: step.alongside === undefined ? null : planChild(step.alongside),
      };
  }
}

/** The disable runbook as the plan holds it. */
export function planDisable(manifest: Manifest, ref: (file: string) => ScriptRef) {
  return manifest.disable.map(({ id, title, file }) => ({ id, title, script: ref(file) }));
}

function planChild({ workflow, input }: Child): Child {
  return { workflow, input };
}

function planMetric(metric: Metric, ref: (file: string) => ScriptRef): PlannedMetric {
  return {
    name: metric.name,
    unit: metric.unit,
    script: ref(metric.file),
    pass: planLimit(metric.pass),
    ...(metric.fail === undefined ? {} : { fail: planLimit(metric.fail) }),
    consecutiveSuccess: metric.consecutive_success,
    failureLimit: metric.failure_limit,
  };
}

function planLimit({ min, max }: Metric['pass']): MetricLimit {
  return { ...(min === undefined ? {} : { min }), ...(max === undefined ? {} : { max }) };
}

/** The schema has checked the text. */
function milliseconds(duration: string): number {
  const found = parseDuration(duration);
  if (found === null) throw new TypeError(`not a duration: ${duration}`);
  return found;
}
