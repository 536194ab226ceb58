import type pg from 'pg';
import { tryQuery } from './try-query.ts';

const TABLES = [
  'run',
  'step_receipt',
  'step_intent',
  'step_failure',
  'control_action',
  'observation',
] as const;

/** `populate_record` brings a payload into this session's time zone, so that equal rows are equal texts. */
const CHAINED = TABLES.map(
  (table) => `
    select '${table}' as source, to_jsonb(jsonb_populate_record(null::sluice.${table}, latest.payload)) as content
    from latest
    where latest.source = '${table}'`,
).join(' union all ');
const STANDING = TABLES.map(
  (table) =>
    `select '${table}' as source, to_jsonb(t) as content from sluice.${table} as t where t.run_id = $1`,
).join(' union all ');

const DIFFERENCES = `
  with
    chained as (
      select e.seq, e.source, e.payload::jsonb as payload
      from sluice.evidence as e
      where e.run_id = $1
    ),
    latest as (
      select c.source, c.payload
      from chained as c
      where c.source <> 'run'
      union all
      (select c.source, c.payload from chained as c where c.source = 'run' order by c.seq desc limit 1)
    ),
    recorded as (${CHAINED}),
    standing as (${STANDING}),
    only_recorded as (select * from recorded except all select * from standing),
    only_standing as (select * from standing except all select * from recorded)
  select o.source, 'is in the chain and not in its table' as what, o.content::text
  from only_recorded as o
  union all
  select o.source, 'is in its table and not in the chain', o.content::text
  from only_standing as o`;

/**
 * Compares the tables of one run with its chain, both ways.
 *
 * @returns one sentence per difference; null with the reason where it could not be compared
 */
export async function compareTables(
  client: pg.Client,
  runId: string,
): Promise<{ readonly agree: boolean | null; readonly problems: readonly string[] }> {
  const found = await tryQuery<{ source: string; what: string; content: string }>(client, DIFFERENCES, [
    runId,
  ]);
  if ('failed' in found) {
    return { agree: null, problems: [`The tables could not be compared with the chain: ${found.failed}`] };
  }
  const problems = found.rows.map(
    (row) => `A row of sluice.${row.source} ${row.what}: ${row.content.slice(0, 300)}`,
  );
  return { agree: problems.length === 0, problems };
}
