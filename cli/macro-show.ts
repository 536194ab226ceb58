import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { isChange, type Plan, type PlannedStep } from '../contracts/plan.ts';
import { buildMacro } from './build-macro.ts';
import { withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { sayDuration } from './say-duration.ts';
import { textTable } from './text-table.ts';

/** `sluice macro show MACRO` */
export function macroShow([macro = '']: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { plan, planHash, notes } = await buildMacro(context, macro);
    printResult(context.output, { planHash, notes, plan }, () => planText(plan, planHash, notes));
    return EXIT.done;
  });
}

/** A plan for people. */
export function planText(plan: Plan, planHash: string, notes: readonly string[]): string {
  return [
    `${plan.macro}: ${plan.title}`,
    `target ${plan.target}, schema ${plan.schema}`,
    `plan ${planHash}`,
    textTable(
      ['step', 'kind', 'title', 'what'],
      plan.steps.map((step) => [step.id, step.kind, step.title, whatOf(step)]),
    ),
    ...(plan.disable.length === 0
      ? []
      : [`where a rollback refuses: ${plan.disable.map(({ id }) => id).join(', ')}`]),
    ...(plan.lifts.length === 0 ? [] : [`lifts: ${plan.lifts.join(', ')}`]),
    ...(plan.next === null ? [] : [`next: ${plan.next}`]),
    ...notes.map((text) => `note: ${text}`),
  ].join('\n');
}

function whatOf(step: PlannedStep): string {
  if (isChange(step)) return step.files.map((pair) => pair.do.path).join(', ');
  switch (step.kind) {
    case 'backup':
      return step.mode === 'none' ? `none: ${step.reason}` : 'dump, restored and compared';
    case 'approve':
      return `within ${sayDuration(step.expiresMs)}`;
    case 'run':
      return `workflow ${step.workflow}`;
    case 'observe':
      return `${step.metrics.map(({ name }) => name).join(', ')} for ${sayDuration(step.windowMs)}`;
    default:
      return step.scripts.map(({ path }) => path).join(', ');
  }
}
