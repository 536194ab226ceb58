import type { BuiltPlan } from '../planning/build-plan.ts';
import { buildPlan } from '../planning/build-plan.ts';
import { findMacro, macroDirs } from '../planning/list-macros.ts';
import type { Context } from './context.ts';
import { usage } from './usage.ts';

/**
 * Plans a macro from this machine's disk for the target; nothing is stored.
 *
 * @param macro name, folder or path of its macro.yaml
 * @throws LocatedError with file, line and column; SluiceError `manifest_invalid`, `usage`
 */
export async function buildMacro(
  context: Context,
  macro: string,
  overrides: Readonly<Record<string, string>> = {},
): Promise<BuiltPlan> {
  const { config, cwd } = context;
  const target = context.targetName();
  const manifestPath = await findMacro(macro, macroDirs({ cwd, configured: config.macroDirs }), cwd);
  const schema = config.targets[target]?.schema ?? 'public';
  return buildPlan({ manifestPath, target, schema, overrides });
}

/** `step.field=value`, as `--set` takes it. @throws SluiceError `usage` */
export function parseOverrides(given: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=');
      if (at < 1)
        throw usage(`--set ${text} has no value.`, 'Expected step.field=value, such as observe.window=2s.');
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}
