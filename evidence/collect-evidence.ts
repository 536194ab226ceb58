import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { Plan } from '../contracts/plan.ts';
import { inTransaction } from '../target/in-transaction.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { compareTables } from './compare-tables.ts';
import { deriveEvidence } from './derive-evidence.ts';
import {
  type AtCollection,
  type ChainRow,
  EVIDENCE_FORMAT,
  type Evidence,
  type PlanEvidence,
} from './evidence-document.ts';
import { checkChain } from './hash-chain.ts';
import { pinnedScripts } from './pinned-scripts.ts';
import { proveConservation } from './prove-conservation.ts';
import { redactDeep, redactJsonText, redactScript, redactSecrets } from './redact-secrets.ts';
import { summariseEvidence } from './summarise-evidence.ts';
import { tryQuery } from './try-query.ts';

const LIMITS = { lockTimeoutMs: 5_000, statementTimeoutMs: 60_000 };

/**
 * Reads everything that the target knows of one run, in one REPEATABLE READ READ ONLY transaction. What looks
 * like a secret is cut out here, before anything else sees it; an unfinished run is reported as such.
 *
 * @param client a session of its own, outside a transaction
 * @param runId engine run id (uuid) of a macro run or an undo run
 * @throws SluiceError `run_not_found`, `engine_schema_missing`, `target_permission`, `unexpected` where the
 *   chain cannot be read
 */
export async function collectEvidence(client: pg.Client, runId: string): Promise<Evidence> {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(runId)) throw noSuchRun(runId);
  try {
    return await inTransaction(client, 'read only', LIMITS, () => collect(client, runId.toLowerCase()));
  } catch (error) {
    throw mapDatabaseError(error, 'Collecting the evidence');
  }
}

async function collect(client: pg.Client, runId: string): Promise<Evidence> {
  const schema = await client.query<{ there: boolean }>(
    `select to_regclass('sluice.evidence') is not null as there`,
  );
  if (schema.rows[0]?.there !== true) throw noEngine();
  const found = await client.query<RunHead>(
    `select run_id, run_no::text, plan_hash, undoes_run_id, fingerprint_at_end
     from sluice.run
     where run_id = $1`,
    [runId],
  );
  const head = found.rows[0];
  if (head === undefined) throw noSuchRun(runId);

  const original = await readChain(client, runId);
  const related = await client.query<{ run_id: string }>(
    `select run_id
     from sluice.run
     where undoes_run_id = $1
        or run_id = $2
     order by run_no`,
    [runId, head.undoes_run_id],
  );
  const others: { runId: string; rows: ChainRow[] }[] = [];
  for (const row of related.rows)
    others.push({ runId: row.run_id, rows: await readChain(client, row.run_id) });

  const chain = original.map(redactRow);
  const relatedChains = others.map((other) => ({ runId: other.runId, rows: other.rows.map(redactRow) }));
  const plan = await readPlan(client, head.plan_hash);
  const derived = deriveEvidence({ runId, chain, relatedChains, canonical: plan.canonical });

  const chains = [{ runId, rows: original }, ...others];
  const redactions = [
    ...chain,
    ...relatedChains.flatMap((other) => other.rows),
    ...plan.scripts,
    plan,
  ].filter((item) => item.redacted === true).length;
  return {
    format: EVIDENCE_FORMAT,
    summary: summariseEvidence(derived),
    ...derived,
    plan,
    atCollection: await readPresent(client, head, derived.planDocument, chains, redactions),
    chain,
    relatedChains,
  };
}

interface RunHead {
  run_id: string;
  run_no: string;
  plan_hash: string;
  undoes_run_id: string | null;
  fingerprint_at_end: string | null;
}

async function readChain(client: pg.Client, runId: string): Promise<ChainRow[]> {
  const found = await client.query<Omit<ChainRow, 'seq'> & { seq: string }>(
    `select seq::text, source, payload, prev_hash as "prevHash", hash
     from sluice.evidence
     where run_id = $1
     order by evidence.seq`,
    [runId],
  );
  return found.rows.map((row) => ({ ...row, seq: Number(row.seq) }));
}

function redactRow(row: ChainRow): ChainRow {
  const { text, redacted } = redactJsonText(row.payload);
  return redacted ? { ...row, payload: text, redacted } : row;
}

async function readPlan(client: pg.Client, planHash: string): Promise<PlanEvidence> {
  const found = await client.query<{ canonical: string; planned_by: string; planned_at: Date }>(
    'select canonical, planned_by, planned_at from sluice.plan where plan_hash = $1',
    [planHash],
  );
  const row = found.rows[0];
  if (row === undefined) throw new Error(`plan ${planHash} is missing in the target`);
  const { text, redacted } = redactJsonText(row.canonical);
  const pinned = pinnedScripts(JSON.parse(text) as Plan);
  const bodies = await client.query<{ sha256: string; body: string }>(
    'select sha256, body from sluice.script where sha256 = any ($1)',
    [pinned.map((script) => script.sha256)],
  );
  const bodyOf = new Map(bodies.rows.map((script) => [script.sha256, script.body]));
  return {
    hash: planHash,
    canonical: text,
    ...(redacted ? { redacted } : {}),
    plannedBy: redactSecrets(row.planned_by),
    plannedAt: row.planned_at.toISOString(),
    scripts: pinned.map((script) => {
      const body = bodyOf.get(script.sha256) ?? null;
      const cut = body === null ? null : redactScript(body);
      return { ...script, body: cut, ...(cut === body ? {} : { redacted: true as const }) };
    }),
  };
}

/** What the chain cannot tell: how the database is now, and whether its tables agree with the chain. */
async function readPresent(
  client: pg.Client,
  head: RunHead,
  plan: Plan,
  chains: readonly { runId: string; rows: readonly ChainRow[] }[],
  redactions: number,
): Promise<AtCollection> {
  const now = await client.query<{ at: Date; version: string; database: string }>(
    `select transaction_timestamp() as at, current_setting('server_version') as version, current_database() as database`,
  );
  const present = now.rows[0];
  const print = await tryQuery<{ fingerprint: string }>(
    client,
    'select sluice.fn_database_fingerprint() as fingerprint',
  );
  const fingerprint = 'failed' in print ? null : (print.rows[0]?.fingerprint ?? null);
  const later = await client.query<AtCollection['laterRuns'][number] & { runNo: string }>(
    `select run_no::text as "runNo", kind, macro, outcome
     from sluice.run
     where run_no > $1
     order by run.run_no`,
    [head.run_no],
  );
  const problems = chains
    .flatMap((chain) => checkChain(chain.runId, chain.rows))
    .map((problem) => problem.what);
  const compared = await compareTables(client, head.run_id);
  return {
    collectedAt: (present?.at ?? new Date()).toISOString(),
    serverVersion: present?.version ?? '',
    database: present?.database ?? '',
    fingerprint,
    unchangedSinceEnd:
      fingerprint === null || head.fingerprint_at_end === null
        ? null
        : fingerprint === head.fingerprint_at_end,
    laterRuns: later.rows.map((row) => ({
      ...row,
      macro: redactSecrets(row.macro),
      runNo: Number(row.runNo),
    })),
    integrity: {
      chainHolds: problems.length === 0,
      tablesAgree: compared.agree,
      problems: redactDeep([...problems, ...compared.problems]) as string[],
    },
    redactions,
    conservation: await proveConservation(client, plan.schema),
  };
}

function noSuchRun(runId: string): SluiceError {
  return new SluiceError('run_not_found', {
    what: `The target knows no run ${redactSecrets(runId)}.`,
    expected: 'The engine run id (uuid) of a run in this database.',
    safe: 'Nothing was changed.',
  });
}

function noEngine(): SluiceError {
  return new SluiceError('engine_schema_missing', {
    what: 'The target has no schema `sluice`, and so no record of any run.',
    expected: 'A target that `sluice init` prepared.',
    safe: 'Nothing was changed.',
  });
}
