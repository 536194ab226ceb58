import { relative } from 'node:path';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { type DemoResult, runDemo as demonstrate } from '../demo/run-demo.ts';
import type { DemoRun } from '../demo/run-one-macro.ts';
import { untilInterrupted } from './interrupt.ts';
import { type GlobalOptions, outputOf } from './options.ts';
import { healthText } from './outbox-health.ts';
import { note, printResult } from './print.ts';
import { sayDuration } from './say-duration.ts';
import { textTable } from './text-table.ts';

/** `sluice demo`, what `npm start` runs: the three macros on the embedded servers, and what they left as evidence. */
export async function runDemo(options: GlobalOptions): Promise<ExitCode> {
  const interrupted = untilInterrupted();
  try {
    const shown = await demonstrate({ say: note, signal: interrupted.signal });
    printResult(outputOf(options), { runs: shown.runs, health: shown.health }, () => demoText(shown));
    return exitOf(shown.runs);
  } finally {
    interrupted.release();
  }
}

function exitOf(runs: readonly DemoRun[]): ExitCode {
  const bad = runs.find((run) => run.outcome !== 'succeeded');
  if (bad === undefined) return EXIT.done;
  return bad.outcome === 'rolled_back' ? EXIT.rolledBack : EXIT.needsAction;
}

function demoText({ runs, health, organicAttempts }: DemoResult): string {
  const attempts = organicAttempts.map((row) => [row.decision, row.status, row.count]);
  return [
    ...runs.flatMap((run) => [`\n${run.macro}: ${run.outcome.replaceAll('_', ' ')}`, stepsOf(run)]),
    '\norganic attempts of the route worker',
    attempts.length === 0 ? 'none' : textTable(['decision', 'status', 'attempts'], attempts),
    '\noutbox',
    healthText(health),
    '\nevidence (Markdown and JSON lie beside each page)',
    ...runs.map((run) => `  ${relative(process.cwd(), run.report)}`),
    '\nto look around',
    '  npx sluice up              the same servers and data, with the Temporal UI, until Ctrl-C',
    '  npx sluice macro list --runs',
    '  npx sluice macro rollback latest --reason "…"',
  ].join('\n');
}

function stepsOf(run: DemoRun): string {
  return textTable(
    ['step', 'kind', 'verdict', 'tries', 'time'],
    run.steps.map((step) => [step.id, step.kind, step.verdict, step.attempts, sayDuration(step.durationMs)]),
  );
}
