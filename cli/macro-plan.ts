import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { actorOf } from './actor.ts';
import { buildMacro, parseOverrides } from './build-macro.ts';
import { withContext } from './context.ts';
import { planText } from './macro-show.ts';
import type { ChangeOptions } from './options.ts';
import { planAndStore } from './plan-and-store.ts';
import { note, printResult } from './print.ts';

/** `sluice macro plan MACRO [--set step.field=value]…` */
export function macroPlan(
  [macro = '']: readonly string[],
  options: ChangeOptions & { set?: readonly string[] },
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const overrides = parseOverrides(options.set);
    const built =
      options.dryRun === true
        ? { ...(await buildMacro(context, macro, overrides)), stored: 'not_stored' as const }
        : await planAndStore(context, { macro, overrides, actor: actorOf(options, context.env) });
    const { plan, planHash, notes, stored } = built;
    const steps = plan.steps.map(({ id, kind, title }) => ({ id, kind, title }));
    const result = { planHash, macro: plan.macro, target: plan.target, stored, steps, notes, plan };
    printResult(context.output, result, () => planText(plan, planHash, notes));
    note(
      stored === 'not_stored'
        ? 'dry run: nothing was stored'
        : `stored in ${plan.target}; start it: sluice macro start --plan ${planHash} --target ${plan.target} --reason TEXT`,
    );
    return EXIT.done;
  });
}
