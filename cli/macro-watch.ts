import type { ExitCode } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import { followRun } from './follow-run.ts';
import { locateRun } from './locate-run.ts';
import type { GlobalOptions, WatchOptions } from './options.ts';
import { note } from './print.ts';

/** `sluice macro watch [RUN]` */
export function macroWatch(
  [reference]: readonly string[],
  options: GlobalOptions & WatchOptions,
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const run = await locateRun(context, reference);
    note(run.temporal.link(run.workflowId, run.temporalRunId) ?? `workflow ${run.workflowId}`);
    return followRun(context, run, options);
  });
}
