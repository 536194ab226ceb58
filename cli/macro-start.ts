import type { ControlInput } from '../contracts/control.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { assertPlanFresh } from '../planning/assert-plan-fresh.ts';
import { loadPlan } from '../planning/load-plan.ts';
import { controlOf } from './actor.ts';
import { buildMacro, parseOverrides } from './build-macro.ts';
import { type Context, withContext } from './context.ts';
import { followRun } from './follow-run.ts';
import type { LocatedRun } from './locate-run.ts';
import type { ChangeOptions, WatchOptions } from './options.ts';
import { planAndStore } from './plan-and-store.ts';
import { note, printResult } from './print.ts';
import { startRun, untilOpened } from './start-run.ts';
import { usage } from './usage.ts';

type StartOptions = ChangeOptions &
  WatchOptions & { readonly plan?: string; readonly set?: readonly string[]; readonly takeOver?: boolean };

/** `sluice macro start MACRO | --plan HASH [--wait] [--timeout DURATION]` */
export function macroStart([macro]: readonly string[], options: StartOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    if ((macro === undefined) === (options.plan === undefined)) {
      throw usage(
        'Either a macro or --plan is expected.',
        'Name the macro, or pass --plan HASH of a stored plan.',
      );
    }
    const overrides = parseOverrides(options.set);
    if (options.plan !== undefined && options.set !== undefined) {
      throw usage(
        '--set has no effect on a stored plan.',
        'Plan the macro again with --set, or leave it out.',
      );
    }
    if (options.dryRun === true) return dryRun(context, macro, options.plan, overrides);
    const control = await controlOf(options, context.env);
    const planned =
      options.plan === undefined
        ? await planNow(context, macro ?? '', overrides, control)
        : await storedPlan(context, options.plan);
    const run = await startRun(context, { ...planned, ...control, ...takeOverOf(options) });
    sayStarted(run, planned.macro);
    return options.wait === true ? followRun(context, run, options) : printStarted(context, run, planned);
  });
}

/** `--take-over`, as the input of a run has it. */
export function takeOverOf(options: { readonly takeOver?: boolean }): { readonly takeOver?: true } {
  return options.takeOver === true ? { takeOver: true } : {};
}

/** Says on stderr where the run can be seen. */
export function sayStarted(run: LocatedRun, macro: string): void {
  note(
    `started ${macro}: ${run.temporal.link(run.workflowId, run.temporalRunId) ?? `workflow ${run.workflowId}`}`,
  );
}

/** Waits until the run has opened, and prints how to follow it. */
export async function printStarted(
  context: Context,
  run: LocatedRun,
  planned: { readonly macro: string; readonly planHash: string | null },
): Promise<ExitCode> {
  const view = await untilOpened(context, run);
  if (view === null) note('no worker has taken the run yet; `sluice worker` starts one');
  const { workflowId, temporalRunId } = run;
  const result = {
    macro: planned.macro,
    target: context.targetName(),
    planHash: planned.planHash,
    runNo: view?.runNo ?? null,
    runId: view?.runId ?? null,
    workflowId,
    temporalRunId,
    link: run.temporal.link(workflowId, temporalRunId),
  };
  printResult(context.output, result, () =>
    [
      `${result.runNo === null ? '' : `run ${result.runNo}: `}${result.macro} on ${result.target} has started`,
      result.link ?? `workflow ${workflowId}, run ${temporalRunId}`,
      `sluice macro watch${result.runNo === null ? '' : ` ${result.runNo}`} --target ${result.target}`,
    ].join('\n'),
  );
  return EXIT.done;
}

async function planNow(
  context: Context,
  macro: string,
  overrides: Readonly<Record<string, string>>,
  { actor }: ControlInput,
): Promise<{ macro: string; planHash: string }> {
  await context.temporal();
  const { plan, planHash, notes } = await planAndStore(context, { macro, overrides, actor });
  for (const text of notes) note(`note: ${text}`);
  return { macro: plan.macro, planHash };
}

/** The stored plan, compared with the files of this machine where it has them. */
async function storedPlan(context: Context, planHash: string): Promise<{ macro: string; planHash: string }> {
  const plan = await context.record('read a plan', (client) => loadPlan(client, planHash));
  const built = await buildMacro(context, plan.macro, plan.overrides).catch((error: unknown) => {
    const isElsewhere = error instanceof SluiceError && /^There is no macro/.test(error.text.what);
    if (!isElsewhere) throw error;
    return null;
  });
  if (built === null)
    note(`this machine has no macro ${plan.macro}; the stored texts run as they were planned`);
  else assertPlanFresh(built, plan);
  return { macro: plan.macro, planHash };
}

async function dryRun(
  context: Context,
  macro: string | undefined,
  hash: string | undefined,
  overrides: Readonly<Record<string, string>>,
): Promise<ExitCode> {
  const planned =
    hash === undefined
      ? await buildMacro(context, macro ?? '', overrides).then(({ plan, planHash }) => ({
          macro: plan.macro,
          planHash,
        }))
      : await storedPlan(context, hash);
  const result = { ...planned, target: context.targetName(), started: false };
  printResult(
    context.output,
    result,
    () => `${result.macro} would start on ${result.target} with plan ${result.planHash}`,
  );
  note('dry run: nothing was stored and nothing was started');
  return EXIT.done;
}
