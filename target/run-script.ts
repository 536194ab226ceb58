import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { type CheckRow, VERDICTS, type Verdict } from '../contracts/verdict.ts';
import { mapDatabaseError } from './map-database-error.ts';

export interface ScriptRun {
  /** Rows of every result set with the columns `check_id`, `verdict`, `detail`, in order. */
  readonly checks: readonly CheckRow[];
  /** Statements that the server answered. */
  readonly statements: number;
  readonly durationMs: number;
}

/**
 * Sends one pinned text to the server inside the transaction that the caller opened.
 *
 * @param path file name for errors, which carry the line and column of the failing statement
 * @throws SluiceError by SQLSTATE; `script_bad_verdict` where a verdict is none of the four words
 */
export async function runScript(client: pg.Client, path: string, text: string): Promise<ScriptRun> {
  const startedAt = performance.now();
  let answered: pg.QueryResult | pg.QueryResult[];
  try {
    answered = await client.query(text);
  } catch (error) {
    throw scriptError(path, text, error);
  }
  const results = Array.isArray(answered) ? answered : [answered];
  const checks = results
    .filter(reportsChecks)
    .flatMap((result) => result.rows.map((row: Record<string, unknown>) => toCheckRow(path, row)));
  return { checks, statements: results.length, durationMs: performance.now() - startedAt };
}

function reportsChecks(result: pg.QueryResult): boolean {
  const columns = (result.fields ?? []).map((field) => field.name);
  return ['check_id', 'verdict', 'detail'].every((name) => columns.includes(name));
}

function toCheckRow(path: string, row: Record<string, unknown>): CheckRow {
  const verdict = String(row.verdict);
  if (!VERDICTS.includes(verdict as Verdict)) {
    throw new SluiceError('script_bad_verdict', {
      what: `${path}: check ${String(row.check_id)} reported the verdict ${JSON.stringify(row.verdict)}.`,
      expected: `A verdict is one of ${VERDICTS.join(', ')}.`,
      safe: 'The transaction was rolled back; this script left nothing.',
    });
  }
  return { checkId: String(row.check_id), verdict: verdict as Verdict, detail: String(row.detail ?? '') };
}

/** The error of a pinned text, with the line and column that the server names. */
export function scriptError(path: string, text: string, error: unknown): SluiceError {
  return mapDatabaseError(error, `${path}${lineAndColumn(text, error)}`);
}

/** ` line L column C` from the server's position (1-based, in characters), or nothing. */
function lineAndColumn(text: string, error: unknown): string {
  const position = Number((error as { position?: string } | null)?.position);
  if (!Number.isInteger(position) || position < 1) return '';
  const before = [...text].slice(0, position - 1).join('');
  const line = before.split('\n').length;
  return ` line ${line} column ${before.length - before.lastIndexOf('\n')}`;
}
