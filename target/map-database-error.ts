import { ERROR_CODES, type ErrorCodeName, SluiceError } from '../contracts/error-codes.ts';
import { SQLSTATES } from '../contracts/sqlstates.ts';

/** Fields of a PostgreSQL error that this project reads; `pg` puts them on its errors. */
interface DatabaseErrorFields {
  readonly code?: string;
  readonly constraint?: string;
  readonly detail?: string;
  readonly hint?: string;
}

const CODE_BY_SQLSTATE: Readonly<Record<string, ErrorCodeName>> = {
  '28P01': 'target_authentication',
  '28000': 'target_authentication',
  '3D000': 'target_not_found',
  '25006': 'target_read_only',
  '42501': 'target_permission',
  '55P03': 'lock_timeout',
  '40001': 'transient',
  '40P01': 'transient',
  '53300': 'target_unreachable',
  '57P01': 'target_unreachable',
  '57P02': 'target_unreachable',
  '57P03': 'target_unreachable',
  '57P05': 'target_unreachable',
  '25P03': 'target_unreachable',
  [SQLSTATES.rollbackRefused]: 'rollback_refused',
  [SQLSTATES.receiptSlotVoided]: 'step_voided',
  [SQLSTATES.runUndone]: 'run_undone',
  [SQLSTATES.engineSchemaNewer]: 'engine_schema_newer',
};

const SOCKET_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ECONNABORTED',
  'ENOENT',
]);

const SAFE_BY_CODE: Partial<Record<ErrorCodeName, string>> = {
  target_unreachable:
    'Nothing more was sent; the step is tried again, and its receipt tells whether it had committed.',
  target_authentication: 'Nothing was changed. Correct the credentials of the target, then start again.',
  target_permission: 'The transaction was rolled back. Grant what is missing, then start again.',
  target_read_only: 'Nothing was changed. Point the target at the primary.',
  lock_timeout: 'The transaction was rolled back; nothing waits behind it.',
};

/** The code for an error of `pg` or of the socket under it. */
export function classifyDatabaseError(error: unknown): ErrorCodeName {
  const { code, constraint } = (error ?? {}) as DatabaseErrorFields;
  if (constraint === 'step_receipt_pkey') return 'step_voided';
  if (code !== undefined) {
    const known = CODE_BY_SQLSTATE[code];
    if (known !== undefined) return known;
    if (code.startsWith('08') || SOCKET_CODES.has(code)) return 'target_unreachable';
    return 'script_failed';
  }
  const message = error instanceof Error ? error.message : String(error);
  return /Connection terminated|timeout expired|timeout exceeded when trying to connect|not queryable|Client was closed/.test(
    message,
  )
    ? 'target_unreachable'
    : 'unexpected';
}

/**
 * Turns an error of the database into a {@link SluiceError}; an error that is one already passes through. Values of
 * rows stay out of its words, because they travel into Temporal's history: see {@link databaseDetail}.
 *
 * @param where what was being done, e.g. `step open-gate, file runtime/090.sql line 12`
 */
export function mapDatabaseError(error: unknown, where: string): SluiceError {
  if (error instanceof SluiceError) return error;
  const refusal = replayRefusal(error);
  if (refusal !== undefined) return refusal;
  const code = classifyDatabaseError(error);
  const fields = (error ?? {}) as DatabaseErrorFields;
  const message = withoutValue(
    fields,
    error instanceof Error && error.message !== '' ? error.message : String(fields.code ?? error),
  );
  const sqlstate = fields.code === undefined ? '' : ` (${fields.code})`;
  return new SluiceError(
    code,
    {
      what: `${where}: ${message}${sqlstate}.`,
      expected: fields.hint === undefined ? '' : `${fields.hint}`,
      safe: SAFE_BY_CODE[code] ?? 'The transaction was rolled back; this step left nothing.',
    },
    { cause: error },
  );
}

/** A refusal of a replay says its code and what was expected in its DETAIL. */
function replayRefusal(error: unknown): SluiceError | undefined {
  const { code: sqlstate, detail, hint } = (error ?? {}) as DatabaseErrorFields;
  if (sqlstate !== SQLSTATES.replayRefused || detail === undefined || !(error instanceof Error))
    return undefined;
  const { code, expected } = JSON.parse(detail) as { readonly code: string; readonly expected: string };
  if (!Object.hasOwn(ERROR_CODES, code)) return undefined;
  return new SluiceError(
    code as ErrorCodeName,
    { what: error.message, expected, safe: hint ?? '' },
    { cause: error },
  );
}

/** What the server said with the values of rows in it; for the target's own record, never for a history. */
export function databaseDetail(error: unknown): string {
  const cause = error instanceof SluiceError ? error.cause : error;
  if (!(cause instanceof Error)) return '';
  const { code, detail } = cause as DatabaseErrorFields;
  return [code?.startsWith('22') === true ? cause.message : '', detail ?? '']
    .filter((part) => part !== '')
    .join('; ');
}

/** Errors of class 22 quote the value that they refuse. */
function withoutValue({ code }: DatabaseErrorFields, message: string): string {
  return code?.startsWith('22') === true ? message.replace(/"[\s\S]*"/, '"…"') : message;
}
