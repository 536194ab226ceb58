import { SluiceError } from '../contracts/error-codes.ts';
import type { Manifest } from './manifest-schema.ts';
import { type ManifestStep, manifestStepSchema } from './manifest-step-schema.ts';

/** Values to use instead of the manifest's, as `stepId.field`: `{ 'observe.window': '2s' }`. */
export type Overrides = Readonly<Record<string, string>>;

const FIELDS = /^(?:window|interval|expires|(?:alongside\.)?input\.[A-Za-z_]\w*)$/;
const KNOWN =
  'Fields: window and interval (observe), expires (approve), input.NAME (run), alongside.input.NAME (observe).';

/**
 * The manifest with the values replaced; each must be there already and pass the manifest's own rules. Only
 * times and inputs can be replaced, never what is executed.
 *
 * @throws SluiceError `usage`
 */
export function applyOverrides(manifest: Manifest, overrides: Overrides): Manifest {
  return Object.entries(overrides).reduce(applyOne, manifest);
}

function applyOne(manifest: Manifest, [name, value]: [string, string]): Manifest {
  const dot = name.indexOf('.');
  const id = name.slice(0, dot);
  const field = name.slice(dot + 1);
  const step = manifest.steps.find((one) => one.id === id);
  if (dot === -1 || !FIELDS.test(field)) throw refused(name, 'names no field that can be replaced.', KNOWN);
  if (step === undefined) {
    const ids = manifest.steps.map((one) => one.id).join(', ');
    throw refused(name, 'names no step of this macro.', `Steps: ${ids}.`);
  }
  const changed = manifestStepSchema.safeParse(replaced(step, name, field.split('.'), value));
  if (!changed.success) {
    const [issue] = changed.error.issues;
    const expected =
      issue?.code === 'custom' ? `${issue.message} ${String(issue.params?.expected ?? '')}` : issue?.message;
    throw refused(name, `has the value \`${value}\`, which the step cannot take.`, expected ?? '');
  }
  return { ...manifest, steps: manifest.steps.map((one) => (one === step ? changed.data : one)) };
}

function replaced(step: ManifestStep, name: string, fields: readonly string[], value: string): unknown {
  const copy: unknown = structuredClone(step);
  const holder = fields.slice(0, -1).reduce<unknown>(member, copy);
  const last = fields.at(-1) ?? '';
  const present = member(holder, last);
  if (typeof holder !== 'object' || holder === null || present === undefined) {
    throw refused(name, `names a field that the step of kind ${step.kind} does not have.`, KNOWN);
  }
  Reflect.set(holder, last, typed(value, present));
  return copy;
}

function member(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    ? Reflect.get(value, key)
    : undefined;
}

/** Overrides come as text; a number or a boolean stays one. */
function typed(value: string, present: unknown): unknown {
  if (typeof present === 'number' && value.trim() !== '' && Number.isFinite(Number(value)))
    return Number(value);
  if (typeof present === 'boolean' && /^(?:true|false)$/.test(value)) return value === 'true';
  return value;
}

function refused(name: string, what: string, expected: string): SluiceError {
  return new SluiceError('usage', {
    what: `The override \`${name}\` ${what}`,
    expected,
    safe: 'Nothing was changed.',
  });
}
