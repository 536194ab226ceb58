import path from 'node:path';
import { type Problem, refuseProblems } from '../config/located-error.ts';
import type { Plan, ScriptRef } from '../contracts/plan.ts';
import { applyOverrides, type Overrides } from './apply-overrides.ts';
import { canonicalJson } from './canonical-json.ts';
import type { Manifest } from './manifest-schema.ts';
import { packageRoot } from './package-root.ts';
import { pinnedScripts } from './pinned-scripts.ts';
import { planDisable, planStep } from './plan-step.ts';
import { readManifest } from './read-manifest.ts';
import { type ReadScripts, readScripts, scriptPath } from './read-scripts.ts';
import { sha256Hex } from './sha256-hex.ts';

export interface BuildPlanOptions {
  readonly manifestPath: string;
  /** Name of the target. */
  readonly target: string;
  /** Schema that the managed files run in. */
  readonly schema: string;
  /** Part of the plan, and so of its hash. */
  readonly overrides?: Overrides;
}

/** A plan with everything that a target must store before it can run. */
export interface BuiltPlan {
  readonly plan: Plan;
  /** sha256 of `canonical`. */
  readonly planHash: string;
  readonly canonical: string;
  /** The pinned texts by sha256. */
  readonly scripts: ReadonlyMap<string, string>;
  /** What a person who plans or approves should read; nothing that refuses. */
  readonly notes: readonly string[];
}

/**
 * Reads a manifest and all that it names from this machine's disk, each file once, and makes the plan. Changes
 * nothing anywhere; the same files, target, schema and overrides give the same hash on any machine.
 *
 * @throws LocatedError with every problem that was found: `manifest_invalid`, `script_missing`,
 * `script_syntax`, `script_transaction_control`, `script_without_undo`, `script_forbidden_action`
 * @throws SluiceError `usage` for an override that fits no step
 */
export async function buildPlan(options: BuildPlanOptions): Promise<BuiltPlan> {
  const { target, schema, overrides = {} } = options;
  const read = await readManifest(options.manifestPath);
  const manifest = applyOverrides(read.manifest, overrides);
  const scripts = await readScripts(read);
  const problems: Problem[] = [...scripts.problems];
  if (manifest.target !== undefined && manifest.target !== target) {
    problems.unshift({
      code: 'manifest_invalid',
      file: read.shownAs,
      ...read.locate(['target']),
      what: `The macro is for the target \`${manifest.target}\`, not for \`${target}\`.`,
      expected: 'Plan it for its own target.',
    });
  }
  refuseProblems(problems, 'Nothing was changed.');

  const root = packageRoot(read.path);
  const bySha = new Map<string, string>();
  const ref = (file: string): ScriptRef => {
    const absolute = scriptPath(read, file);
    const text = scripts.texts.get(absolute);
    if (text === undefined) throw new TypeError(`a file that was not read: ${file}`);
    const sha256 = sha256Hex(text);
    bySha.set(sha256, text);
    return { path: path.relative(root, absolute).split(path.sep).join('/'), sha256 };
  };
  const plan: Plan = {
    format: 1,
    macro: manifest.macro,
    title: manifest.title,
    target,
    schema,
    lifts: [...manifest.lifts].sort(),
    steps: manifest.steps.map((step) => planStep(step, ref)),
    disable: planDisable(manifest, ref),
    next: manifest.next ?? null,
    ...(Object.keys(overrides).length === 0 ? {} : { overrides: { ...overrides } }),
  };
  const canonical = canonicalJson(plan);
  const notes = notesOn(plan, manifest, scripts);
  return { plan, planHash: sha256Hex(canonical), canonical, scripts: bySha, notes };
}

function notesOn(plan: Plan, manifest: Manifest, scripts: ReadScripts): string[] {
  const outside = [...pinnedScripts(plan).keys()].filter((file) => file.startsWith('../'));
  return [
    ...Object.entries(plan.overrides ?? {}).map(
      ([field, value]) => `${field} is ${value} in this plan, not what the manifest says.`,
    ),
    ...plan.lifts
      .filter((action) => !scripts.taken.has(action))
      .map((action) => `The macro lifts ${action}, but no file was seen to do it.`),
    ...manifest.steps.flatMap((step) => {
      if (step.kind === 'backup' && step.mode === 'none')
        return [`Step ${step.id} takes no backup: ${step.reason}`];
      const irreversible = (step.kind === 'migrate' || step.kind === 'enable') && step.irreversible;
      return irreversible ? [`Step ${step.id} cannot be undone: ${step.reason}`] : [];
    }),
    ...outside.map(
      (file) => `${file} lies outside the package, so the plan hash depends on where it is kept.`,
    ),
    ...scripts.notes,
  ];
}
