import type { Plan, PlannedStep, ScriptRef } from '../contracts/plan.ts';

/** The files that a plan pins: sha256 by path, each once, in the order of the plan. */
export function pinnedScripts(plan: Plan): ReadonlyMap<string, string> {
  const refs = [...plan.steps.flatMap(refsOf), ...plan.disable.map((step) => step.script)];
  return new Map(refs.map(({ path, sha256 }) => [path, sha256]));
}

function refsOf(step: PlannedStep): readonly ScriptRef[] {
  switch (step.kind) {
    case 'check':
    case 'verify':
    case 'probe':
      return [...step.scripts, ...step.after];
    case 'migrate':
    case 'enable': {
      const files = step.files.flatMap((pair) => [pair.do, pair.undo, pair.doneWhen ?? null]);
      return [...files, step.holds].filter((ref) => ref !== null);
    }
    case 'observe':
      return step.metrics.map((metric) => metric.script);
    case 'backup':
    case 'approve':
    case 'run':
      return [];
  }
}
