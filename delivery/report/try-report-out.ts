import { access, constants } from 'node:fs/promises';
import type { TryOut } from '../delivery-target.ts';
import { isThere, nearestFolder } from './nearest-folder.ts';
import { reportFailure } from './report-fault.ts';
import type { ReportFile } from './report-file.ts';

/** Failures that may be over a moment later, or that nothing is known of. */
const MAY_PASS = new Set(['report_busy', 'report_failed']);

/**
 * Does all of an append but the write: takes the lock, opens and reads the record, looks for the key. A folder that is
 * missing is not made; the nearest above it has to be one that it could be made in.
 */
export async function tryReportOut(folder: string, report: ReportFile, key: string): Promise<TryOut> {
  try {
    await access(await nearestFolder(folder), constants.W_OK | constants.X_OK);
    if ((await isThere(folder)) && (await report.holds(key))) {
      return { verdict: 'fixed', because: 'the report has the entry already, and a replay adds nothing' };
    }
    return { verdict: 'fixed', because: null };
  } catch (error) {
    const { code, message } = reportFailure(error);
    return {
      verdict: MAY_PASS.has(code) ? 'unknown' : 'still_failing',
      because: message.replace(/\.$/, ''),
    };
  }
}
