import type { DeliveryFailure } from '../delivery-outcome.ts';

/** Why a report could not be written. Nothing of the entry is in it then. */
export class ReportFault extends Error {
  readonly code: string;
  readonly mayRetry: boolean;
  constructor(code: string, message: string, options: { mayRetry?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = 'ReportFault';
    this.code = code;
    this.mayRetry = options.mayRetry ?? true;
  }
}

const DISK_FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);
const NOT_PERMITTED = new Set(['EACCES', 'EPERM', 'EROFS']);
/** Something else than a file or a folder of our own is in the place of one; a link is never followed. */
const NOT_OURS = new Set(['ELOOP', 'EISDIR', 'ENOTDIR', 'ENXIO', 'EEXIST']);

/** What an error of the file system means for a delivery. */
export function reportFailure(error: unknown): DeliveryFailure {
  const { code, message, mayRetry } = asReportFault(error);
  return { code, message, mayRetry, retryAfterMs: null };
}

function asReportFault(error: unknown): ReportFault {
  if (error instanceof ReportFault) return error;
  const code = String(Object(error).code ?? 'unknown');
  if (DISK_FULL.has(code)) return new ReportFault('disk_full', `There is no room for the report (${code}).`);
  if (NOT_PERMITTED.has(code)) {
    return new ReportFault('report_unwritable', `The report may not be written (${code}).`);
  }
  if (NOT_OURS.has(code)) {
    const message = `Something that is no file stands in the place of the report (${code}).`;
    return new ReportFault('report_unwritable', message);
  }
  return new ReportFault('report_failed', `The report could not be written (${code}).`);
}
