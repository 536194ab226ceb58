import type pg from 'pg';
import { combineVerdicts, VERDICTS, type Verdict } from '../contracts/verdict.ts';
import type { ConservationEvidence } from './evidence-document.ts';
import { redactDeep } from './redact-secrets.ts';
import { tryQuery } from './try-query.ts';

const FUNCTION = 'fn_iu_conservation';
const CHECKED_WITHIN_MS = 30_000;

/**
 * Calls the target's own read-only proof that nothing was lost, where its schema has one that can be called
 * without arguments. The verdicts are the function's; rows without a verdict prove nothing and say so.
 *
 * @returns null where the target has no such function
 */
export async function proveConservation(
  client: pg.Client,
  schema: string,
): Promise<ConservationEvidence | null> {
  const there = await client.query(
    `select
     from pg_proc as p
     join pg_namespace as n on n.oid = p.pronamespace
     where n.nspname = $1
       and p.proname = $2
       and p.prokind = 'f'
       and p.pronargs = p.pronargdefaults`,
    [schema, FUNCTION],
  );
  if (there.rowCount === 0) return null;
  const name = `${schema}.${FUNCTION}`;
  await client.query(`set local statement_timeout = ${CHECKED_WITHIN_MS}`);
  const found = await tryQuery<{ content: unknown }>(
    client,
    `select to_jsonb(proof) as content
     from ${client.escapeIdentifier(schema)}.${client.escapeIdentifier(FUNCTION)}() as proof`,
  );
  if ('failed' in found) {
    return { function: name, verdict: 'not_run', detail: String(redactDeep(found.failed)), rows: [] };
  }
  const rows = found.rows.map((row) => toRecord(redactDeep(row.content)));
  const verdicts = rows.map(verdictOf).filter((verdict) => verdict !== null);
  const verdict = verdicts.length < rows.length ? 'inconclusive' : combineVerdicts(verdicts);
  return { function: name, verdict, detail: `${rows.length} ${rows.length === 1 ? 'row' : 'rows'}`, rows };
}

function toRecord(content: unknown): Readonly<Record<string, unknown>> {
  return content !== null && typeof content === 'object' && !Array.isArray(content)
    ? (content as Record<string, unknown>)
    : { value: content };
}

function verdictOf(row: Readonly<Record<string, unknown>>): Verdict | null {
  if (VERDICTS.includes(row.verdict as Verdict)) return row.verdict as Verdict;
  for (const key of ['balanced', 'holds', 'conserved', 'ok', 'value']) {
    if (typeof row[key] === 'boolean') return row[key] ? 'pass' : 'fail';
  }
  return null;
}
