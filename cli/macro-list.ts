import { listRuns } from '../client/find-run.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { listMacros, macroDirs } from '../planning/list-macros.ts';
import { type Context, withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { sayDuration } from './say-duration.ts';
import { textTable } from './text-table.ts';

/** `sluice macro list [--runs]` */
export function macroList(
  _: readonly string[],
  options: GlobalOptions & { runs?: boolean },
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    await (options.runs === true ? printRuns(context) : printMacros(context));
    return EXIT.done;
  });
}

async function printMacros(context: Context): Promise<void> {
  const macros = await listMacros(macroDirs({ cwd: context.cwd, configured: context.config.macroDirs }));
  printResult(context.output, macros, () =>
    macros.length === 0
      ? 'no macros'
      : textTable(
          ['macro', 'steps', 'next', 'title'],
          macros.map(({ name, steps, next, title, problem }) => [
            name,
            steps,
            next ?? '',
            title ?? `not valid: ${problem}`,
          ]),
        ),
  );
}

async function printRuns(context: Context): Promise<void> {
  const known = await context.record('list runs', (client) => listRuns(client));
  const { uiUrl, endpoint } = await context.temporalServer().catch(() => ({ uiUrl: null, endpoint: null }));
  const { uiLink } = await import('../client/ui-link.ts');
  const runs = known.map((run) => ({
    ...run,
    link:
      uiUrl === null
        ? null
        : uiLink(uiUrl, endpoint?.namespace ?? 'default', run.workflowId, run.temporalRunId),
  }));
  printResult(context.output, runs, () =>
    runs.length === 0
      ? 'no runs'
      : textTable(
          ['run', 'macro', 'kind', 'outcome', 'started', 'took', 'actor'],
          runs.map((run) => [
            run.runNo,
            run.macro,
            run.kind,
            run.outcome ?? 'open',
            run.startedAt,
            run.finishedAt === null
              ? ''
              : sayDuration(Date.parse(run.finishedAt) - Date.parse(run.startedAt)),
            run.actor,
          ]),
        ) +
        runs.map((run) => `\n${run.runNo}  ${run.link ?? `${run.workflowId} ${run.temporalRunId}`}`).join(''),
  );
}
