import { access, constants } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import { type DeliveryFailure, failed, sent } from './delivery-outcome.ts';
import type { DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import { GroupCommit } from './report/group-commit.ts';
import { isThere, nearestFolder } from './report/nearest-folder.ts';
import { type ReportLine, reportLine } from './report/report-entry.ts';
import { reportFailure } from './report/report-fault.ts';
import { type AppendedEntry, ReportFile } from './report/report-file.ts';
import { tryReportOut } from './report/try-report-out.ts';
import { type RouteLimits, routeLimits } from './route-limits.ts';
import { TryEnded, withinTry } from './within-try.ts';

const KIND = 'report';
/** No separator, no dot: it can name a file in the folder of the reports and nothing else. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;
const GROUP = { items: 1_024, bytes: 4_194_304, pauseMs: 4 };

export interface ReportTargetSettings {
  /** Folder of the reports; made with the first entry. */
  readonly dir: string;
}

interface OpenReport {
  readonly file: ReportFile;
  readonly commits: GroupCommit<ReportLine, AppendedEntry>;
}

/**
 * Appends events to the report that `target_ref` names: a line of `<name>.jsonl`, once for each idempotency key, and a
 * section of `<name>.md`, which is made from it. What comes at the same time shares one sync.
 */
export function reportTarget({ dir }: ReportTargetSettings): DeliveryTarget {
  const folder = resolve(dir);
  const reports = new Map<string, OpenReport>();
  const reportOf = (name: string) => {
    const known = reports.get(name);
    if (known !== undefined) return known;
    const file = new ReportFile(folder, name);
    const made = {
      file,
      commits: new GroupCommit((lines: readonly ReportLine[]) => file.append(lines), GROUP),
    };
    reports.set(name, made);
    return made;
  };

  return {
    kind: KIND,
    isBuilt: true,

    fault,

    async deliver(request, attempt) {
      const prepared = prepare(request, attempt.config);
      if ('code' in prepared) return failed(KIND, prepared);
      const { item, limits } = prepared;
      try {
        const { line } = await withinTry({ signal: attempt.signal, timeoutMs: limits.timeoutMs }, (signal) =>
          reportOf(request.targetRef).commits.add({ item, bytes: item.bytes.length, signal }),
        );
        return sent(KIND, { file: `${request.targetRef}.jsonl`, line, already_there: line === null });
      } catch (error) {
        if (!(error instanceof TryEnded)) return failed(KIND, reportFailure(error));
        return failed(KIND, { code: 'timeout', message: error.message, mayRetry: true, retryAfterMs: null });
      }
    },

    async tryOut(request, attempt) {
      const prepared = prepare(request, attempt.config);
      if ('code' in prepared) {
        return { verdict: 'still_failing', because: prepared.message.replace(/\.$/, '') };
      }
      const { item, limits } = prepared;
      try {
        return await withinTry({ signal: attempt.signal, timeoutMs: limits.timeoutMs }, () =>
          tryReportOut(folder, reportOf(request.targetRef).file, item.key),
        );
      } catch (error) {
        if (!(error instanceof TryEnded)) throw error;
        return { verdict: 'unknown', because: error.message.replace(/\.$/, '') };
      }
    },

    async inspect(targetRef, config) {
      const wrong = fault(targetRef, config);
      if (wrong !== null)
        throw refusal(wrong, 'A name such as `weekly-review`, and a config of the known keys.');
      try {
        if (await isThere(join(folder, `${targetRef}.jsonl`)))
          await new ReportFile(folder, targetRef).check();
        else await access(await nearestFolder(folder), constants.W_OK | constants.X_OK);
      } catch (error) {
        const why = reportFailure(error).message;
        throw refusal(why, `A folder that the worker may write to: \`delivery.report.dir\` is ${folder}.`);
      }
    },

    async close() {
      await Promise.all([...reports.values()].map(({ commits }) => commits.idle()));
      reports.clear();
    },
  };
}

function fault(targetRef: string, config: Readonly<Record<string, unknown>>): string | null {
  const limits = routeLimits(KIND, config);
  if (typeof limits === 'string') return `${limits}.`;
  return NAME.test(targetRef) ? null : 'The name of a report is 1 to 64 of a-z, 0-9, _ and -.';
}

/** The line of a request and the limits of its route, or why no try can write it. */
function prepare(
  request: DeliveryRequest,
  config: Readonly<Record<string, unknown>>,
): { readonly item: ReportLine; readonly limits: RouteLimits } | DeliveryFailure {
  const limits = routeLimits(KIND, config);
  if (typeof limits === 'string') return final('request_invalid', `${limits}.`);
  const wrong = fault(request.targetRef, config);
  if (wrong !== null) return final('target_ref_malformed', wrong);
  const item = reportLine(request, new Date());
  if (item === null) return final('request_invalid', 'The payload of the event is no JSON.');
  if (item.bytes.length <= limits.maxBodyBytes) return { item, limits };
  const message = `The entry has ${item.bytes.length} bytes, and the route allows ${limits.maxBodyBytes}.`;
  return final('payload_too_large', message);
}

function final(code: string, message: string): DeliveryFailure {
  return { code, message, mayRetry: false, retryAfterMs: null };
}

function refusal(why: string, expected: string): SluiceError {
  return new SluiceError('route_refused', {
    what: `The report cannot be written: ${why}`,
    expected,
    safe: 'No entry was written.',
  });
}
