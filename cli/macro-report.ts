import path from 'node:path';
import { findRun } from '../client/find-run.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { collectEvidence } from '../evidence/collect-evidence.ts';
import type { ReportFiles } from '../evidence/write-report.ts';
import { type Context, withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';

/** `sluice macro report RUN [--dir DIR]` */
export function macroReport(
  [reference = '']: readonly string[],
  options: GlobalOptions & { dir?: string },
): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const report = await reportRun(context, reference, options.dir);
    printResult(context.output, report, () =>
      [report.headline, report.html, report.markdown, report.json].join('\n'),
    );
    return EXIT.done;
  });
}

export interface WrittenReport extends ReportFiles {
  readonly runId: string;
  readonly runNo: number;
  readonly headline: string;
}

/** Writes the evidence of a run; into `.sluice/reports` where no folder is given. @throws SluiceError `run_not_found` */
export async function reportRun(context: Context, reference: string, dir?: string): Promise<WrittenReport> {
  const evidence = await context.record('report a run', async (client) => {
    const { runId } = await findRun(client, reference);
    return collectEvidence(client, runId);
  });
  const { writeReport } = await import('../evidence/write-report.ts');
  const files = await writeReport(
    evidence,
    path.resolve(context.cwd, dir ?? path.join(context.stateDir, 'reports')),
  );
  return {
    runId: evidence.run.runId,
    runNo: evidence.run.runNo,
    headline: evidence.summary.headline,
    ...files,
  };
}
