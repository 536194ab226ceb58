import { access, constants, lstat, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import { failed, sent } from './delivery-outcome.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import { GroupCommit } from './report/group-commit.ts';
import { type ReportLine, reportLine } from './report/report-entry.ts';
import { ReportFault, reportFailure } from './report/report-fault.ts';
import { type AppendedEntry, ReportFile } from './report/report-file.ts';
import { routeLimits } from './route-limits.ts';
import { TryEnded, withinTry } from './within-try.ts';

const KIND = 'report';
/** No separator, no dot: it can name a file in the folder of the reports and nothing else. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const GROUP = { items: 1_024, bytes: 4_194_304, pauseMs: 4 };

export interface ReportTargetSettings {
  /** Folder of the reports; made with the first entry. */
  readonly dir: string;
}

/**
 * Appends events to the report that `target_ref` names: a line of `<name>.jsonl`, once for each idempotency key, and a
 * section of `<name>.md`, which is made from it. What comes at the same time shares one sync.
 */
export function reportTarget({ dir }: ReportTargetSettings): DeliveryTarget {
  const folder = resolve(dir);
  const reports = new Map<string, GroupCommit<ReportLine, AppendedEntry>>();
  const reportOf = (name: string) => {
    const known = reports.get(name);
    if (known !== undefined) return known;
    const file = new ReportFile(folder, name);
    const made = new GroupCommit((lines: readonly ReportLine[]) => file.append(lines), GROUP);
    reports.set(name, made);
    return made;
  };
  const refuse = (code: string, message: string, mayRetry = false) =>
    failed(KIND, { code, message, mayRetry, retryAfterMs: null });

  return {
    kind: KIND,
    isBuilt: true,

    fault(targetRef, config) {
      const limits = routeLimits(KIND, config);
      if (typeof limits === 'string') return `${limits}.`;
      return NAME.test(targetRef) ? null : 'The name of a report is 1 to 64 of a-z, 0-9, _ and -.';
    },

    async deliver(request, attempt) {
      const limits = routeLimits(KIND, attempt.config);
      if (typeof limits === 'string') return refuse('request_invalid', `${limits}.`);
      const fault = this.fault(request.targetRef, attempt.config);
      if (fault !== null) return refuse('target_ref_malformed', fault);
      const item = reportLine(request, new Date());
      if (item === null) return refuse('request_invalid', 'The payload of the event is no JSON.');
      const bytes = item.bytes.length;
      if (bytes > limits.maxBodyBytes) {
        const message = `The entry has ${bytes} bytes, and the route allows ${limits.maxBodyBytes}.`;
        return refuse('payload_too_large', message);
      }
      try {
        const { line } = await withinTry({ signal: attempt.signal, timeoutMs: limits.timeoutMs }, (signal) =>
          reportOf(request.targetRef).add({ item, bytes, signal }),
        );
        return sent(KIND, { file: `${request.targetRef}.jsonl`, line, already_there: line === null });
      } catch (error) {
        if (error instanceof TryEnded) return refuse('timeout', error.message, true);
        return failed(KIND, reportFailure(error));
      }
    },

    async inspect(targetRef, config) {
      const fault = this.fault(targetRef, config);
      if (fault !== null)
        throw refusal(fault, 'A name such as `weekly-review`, and a config of the known keys.');
      try {
        if (await exists(join(folder, `${targetRef}.jsonl`))) await new ReportFile(folder, targetRef).check();
        else await access(await nearest(folder), constants.W_OK | constants.X_OK);
      } catch (error) {
        const why = reportFailure(error).message;
        throw refusal(why, `A folder that the worker may write to: \`delivery.report.dir\` is ${folder}.`);
      }
    },

    async close() {
      await Promise.all([...reports.values()].map((report) => report.idle()));
      reports.clear();
    },
  };
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error) => {
      if (Object(error).code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** The folder, or the nearest above it that is there. */
async function nearest(folder: string): Promise<string> {
  if (!(await exists(folder))) return nearest(dirname(folder));
  if ((await stat(folder)).isDirectory()) return folder;
  throw new ReportFault(
    'report_unwritable',
    'Something that is no folder stands in the place of the folder.',
  );
}

function refusal(why: string, expected: string): SluiceError {
  return new SluiceError('route_refused', {
    what: `The report cannot be written: ${why}`,
    expected,
    safe: 'No entry was written.',
  });
}
