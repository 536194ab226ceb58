import type { CheckRow } from '../../../contracts/verdict.ts';
import { collectEvidence } from '../../../evidence/collect-evidence.ts';
import type { Evidence } from '../../../evidence/evidence-document.ts';
import { renderJson } from '../../../evidence/render-json.ts';
import { verifyEvidence } from '../../../evidence/verify-evidence.ts';
import type { TestEngine } from '../../support/engine.ts';

/** Rows of IU Core's tables, as far as they are installed. */
export interface Counts {
  readonly units: number;
  readonly versions: number;
  readonly events: number;
  readonly attempts: number;
  /** Events with exactly one attempt that is a dry run. */
  readonly dryRuns: number;
  readonly deadLetters: number;
  readonly markers: number;
  readonly cursors: number;
}

export async function counts(engine: TestEngine): Promise<Counts> {
  const { rows } = await engine.sql.query<Counts>(
    `select
       (select count(*)::int from information_unit) as units,
       (select count(*)::int from unit_version) as versions,
       (select count(*)::int from event_outbox) as events,
       (select count(*)::int from iu_route_attempt) as attempts,
       (select count(*)::int
        from (
          select event_id
          from iu_route_attempt
          group by event_id
          having count(*) = 1 and bool_and(decision = 'dry_run' and not delivered)
        ) as once) as "dryRuns",
       (select count(*)::int from iu_route_dead_letter) as "deadLetters",
       (select count(*)::int from iu_probe_marker) as markers,
       (select count(*)::int from iu_route_worker_cursor) as cursors`,
  );
  if (rows[0] === undefined) throw new Error('no counts');
  return rows[0];
}

/** What a gate is and everything else that is configured, without who stamped it when. */
export async function configuration(engine: TestEngine): Promise<Record<string, string>> {
  const { rows } = await engine.sql.query<{ config: Record<string, string> }>(
    'select json_object_agg(key, value order by key) as config from dot_config',
  );
  return rows[0]?.config ?? {};
}

export async function fingerprint(engine: TestEngine): Promise<string> {
  const { rows } = await engine.sql.query<{ fingerprint: string }>(
    'select sluice.fn_database_fingerprint() as fingerprint',
  );
  return rows[0]?.fingerprint ?? '';
}

/** Checks that a step reported. */
export async function checksOf(
  engine: TestEngine,
  runId: string | null,
  stepId: string,
): Promise<readonly CheckRow[]> {
  const { rows } = await engine.sql.query<{ checks: CheckRow[] }>(
    `select checks from sluice.step_receipt
     where run_id = $1 and step_id = $2 and part = '' and direction = 'do'`,
    [runId, stepId],
  );
  return rows[0]?.checks ?? [];
}

/** `P0 pass`, `POST-ROLLBACK pass`, …, in the order reported. */
export async function verdictsOf(
  engine: TestEngine,
  runId: string | null,
  stepId: string,
): Promise<string[]> {
  return (await checksOf(engine, runId, stepId)).map((check) => `${check.checkId} ${check.verdict}`);
}

/** The evidence of a run, once it has verified offline. */
export async function verifiedEvidence(engine: TestEngine, runId: string | null): Promise<Evidence> {
  const evidence = await collectEvidence(engine.sql, runId ?? '');
  const verified = verifyEvidence(renderJson(evidence));
  if (!verified.ok) throw new Error(JSON.stringify(verified.problems));
  return evidence;
}
