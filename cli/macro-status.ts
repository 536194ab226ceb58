import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import { locateRun } from './locate-run.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { readRun } from './run-view.ts';
import { runText } from './step-table.ts';

/** `sluice macro status [RUN]` */
export function macroStatus([reference]: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const run = await readRun(context, await locateRun(context, reference));
    printResult(context.output, run, () => runText(run));
    return EXIT.done;
  });
}
