import { isChange, type Plan, type PlannedStep, type ScriptRef } from '../contracts/plan.ts';
import type { ScriptEvidence } from './evidence-document.ts';

export type PinnedScript = Pick<ScriptEvidence, 'stepId' | 'role' | 'path' | 'sha256'>;

/** Every text that a plan pins, with the step and the part it plays there. */
export function pinnedScripts(plan: Plan): PinnedScript[] {
  return [
    ...plan.steps.flatMap(ofStep),
    ...plan.disable.map((step) => pinned(step.id, 'disable', step.script)),
  ];
}

function ofStep(step: PlannedStep): PinnedScript[] {
  if (isChange(step)) {
    return [
      ...(step.holds === null ? [] : [pinned(step.id, 'holds', step.holds)]),
      ...step.files.flatMap((pair) => [
        pinned(step.id, 'do', pair.do),
        ...(pair.undo === null ? [] : [pinned(step.id, 'undo', pair.undo)]),
        ...(pair.doneWhen === undefined ? [] : [pinned(step.id, 'done_when', pair.doneWhen)]),
      ]),
    ];
  }
  if (step.kind === 'check' || step.kind === 'verify' || step.kind === 'probe') {
    return [...step.scripts, ...(step.after ?? [])].map((script) => pinned(step.id, 'script', script));
  }
  if (step.kind === 'observe') return step.metrics.map((metric) => pinned(step.id, 'metric', metric.script));
  return [];
}

function pinned(stepId: string, role: PinnedScript['role'], script: ScriptRef): PinnedScript {
  return { stepId, role, path: script.path, sha256: script.sha256 };
}
