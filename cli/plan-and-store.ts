import type { BuiltPlan } from '../planning/build-plan.ts';
import { storePlan } from '../planning/store-plan.ts';
import { buildMacro } from './build-macro.ts';
import type { Context } from './context.ts';

export interface PlanRequest {
  /** Name, folder or path of its macro.yaml. */
  readonly macro: string;
  /** Who plans, as claimed. */
  readonly actor: string;
  /** Values instead of the manifest's, as `stepId.field`. */
  readonly overrides?: Readonly<Record<string, string>>;
}

/**
 * Plans a macro from this machine's disk and stores the plan with its texts in the target.
 *
 * @throws LocatedError with file, line and column; SluiceError `engine_schema_missing`, `target_unreachable`, …
 */
export async function planAndStore(
  context: Context,
  { macro, actor, overrides = {} }: PlanRequest,
): Promise<BuiltPlan & { readonly stored: 'new' | 'already_there' }> {
  const built = await buildMacro(context, macro, overrides);
  const { stored } = await context.session('store a plan', (client) => storePlan(client, built, { actor }));
  return { ...built, stored };
}
