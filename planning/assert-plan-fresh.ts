import { SluiceError } from '../contracts/error-codes.ts';
import type { Plan } from '../contracts/plan.ts';
import type { BuiltPlan } from './build-plan.ts';
import { canonicalJson } from './canonical-json.ts';
import { pinnedScripts } from './pinned-scripts.ts';

/**
 * Refuses to start a stored plan when the disk has moved on since: what runs is the stored text, and somebody
 * who starts it expects the one they see.
 *
 * @param built the plan of the disk as it is now, built with the stored plan's `target`, `schema` and `overrides`
 * @throws SluiceError `plan_stale`, naming each file that changed, appeared or went
 */
export function assertPlanFresh(built: Pick<BuiltPlan, 'plan' | 'canonical'>, stored: Plan): void {
  if (canonicalJson(stored) === built.canonical) return;
  const now = pinnedScripts(built.plan);
  const then = pinnedScripts(stored);
  const changes = [
    ...[...then.keys()].filter((path) => !now.has(path)).map((path) => `${path} is no longer named`),
    ...[...now.keys()].filter((path) => !then.has(path)).map((path) => `${path} is new`),
    ...[...then]
      .filter(([path, sha256]) => now.has(path) && now.get(path) !== sha256)
      .map(([path]) => `${path} changed`),
  ];
  throw new SluiceError('plan_stale', {
    what: `Since this plan was made: ${changes.length === 0 ? 'the manifest changed' : changes.join('; ')}.`,
    expected: 'Plan the macro again, and have the new plan hash approved.',
    safe: 'Nothing was changed; the stored plan and its texts are as they were.',
  });
}
