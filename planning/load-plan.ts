import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import type { Plan } from '../contracts/plan.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { sha256Hex } from './sha256-hex.ts';

/**
 * The plan that a target stores under a hash, hashed again on the way.
 *
 * @throws SluiceError `plan_not_found`; `script_tampered` where the stored text has another hash, or a format
 * that this program does not know; what `mapDatabaseError` says of the connection
 */
export async function loadPlan(client: pg.Client, planHash: string): Promise<Plan> {
  const canonical = await readText(
    client,
    'select canonical as text from sluice.plan where plan_hash = $1',
    planHash,
  );
  if (canonical === null) {
    throw new SluiceError('plan_not_found', {
      what: `The target stores no plan ${planHash}.`,
      expected: 'Expected the hash that `sluice macro plan` printed for this target.',
      safe: 'Nothing was changed.',
    });
  }
  assertHash('plan', planHash, canonical);
  const plan: unknown = JSON.parse(canonical);
  if (!isPlan(plan))
    throw tampered(`The stored plan ${planHash} is not of format 1.`, 'A program that knows its format.');
  return plan;
}

/**
 * A pinned text that a target stores, hashed again on the way.
 *
 * @throws SluiceError `script_missing`, `script_tampered`, and what `mapDatabaseError` says of the connection
 */
export async function loadScript(client: pg.Client, sha256: string): Promise<string> {
  const body = await readText(client, 'select body as text from sluice.script where sha256 = $1', sha256);
  if (body === null) {
    throw new SluiceError('script_missing', {
      what: `The target stores no script with sha256 ${sha256}.`,
      expected: 'Planning stores every text before a run may name it; plan the macro again.',
      safe: 'Nothing of this script was executed.',
    });
  }
  assertHash('script', sha256, body);
  return body;
}

async function readText(client: pg.Client, sql: string, key: string): Promise<string | null> {
  const found = await client.query<{ text: string }>(sql, [key]).catch((error: unknown) => {
    throw mapDatabaseError(error, 'Reading what planning stored');
  });
  return found.rows[0]?.text ?? null;
}

function assertHash(kind: 'plan' | 'script', expected: string, text: string): void {
  const actual = sha256Hex(text);
  if (actual === expected) return;
  throw tampered(
    `The ${kind} stored under sha256 ${expected} has sha256 ${actual}.`,
    'A stored text never changes; find out who changed it, then plan again.',
  );
}

function tampered(what: string, expected: string): SluiceError {
  return new SluiceError('script_tampered', { what, expected, safe: 'Nothing of it was executed.' });
}

/** The text was written by `buildPlan` and its hash is right, so its format decides its shape. */
function isPlan(value: unknown): value is Plan {
  return typeof value === 'object' && value !== null && 'format' in value && value.format === 1;
}
