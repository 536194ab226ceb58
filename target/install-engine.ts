import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { inTransaction } from './in-transaction.ts';
import { mapDatabaseError } from './map-database-error.ts';

const ENGINE_SQL = fileURLToPath(new URL('../sql/sluice/', import.meta.url));
const LIMITS = { lockTimeoutMs: 5_000, statementTimeoutMs: 60_000 };

export interface EngineVersions {
  /** Version in the target; 0 where the schema is missing. */
  readonly installed: number;
  /** Version that this program brings. */
  readonly shipped: number;
}

async function shippedFiles(): Promise<{ version: number; name: string }[]> {
  const names = (await readdir(ENGINE_SQL)).filter((name) => /^\d{3}_.*\.sql$/.test(name)).sort();
  return names.map((name) => ({ version: Number(name.slice(0, 3)), name }));
}

/** Reads which engine schema the target has. */
export async function readEngineVersions(client: pg.Client): Promise<EngineVersions> {
  const shipped = (await shippedFiles()).at(-1)?.version ?? 0;
  const present = await client.query<{ there: boolean }>(
    `select to_regclass('sluice.engine_version') is not null as there`,
  );
  if (present.rows[0]?.there !== true) return { installed: 0, shipped };
  const found = await client.query<{ version: number }>(
    'select max(version) as version from sluice.engine_version',
  );
  return { installed: found.rows[0]?.version ?? 0, shipped };
}

/** @throws SluiceError `engine_schema_missing`, `engine_schema_newer` where the target is not at the shipped version */
export async function assertEngineCurrent(client: pg.Client): Promise<void> {
  const { installed, shipped } = await readEngineVersions(client);
  if (installed > shipped) throw newerEngine(installed, shipped);
  if (installed < shipped) {
    throw new SluiceError('engine_schema_missing', {
      what: `The target has engine schema version ${installed}.`,
      expected: `This program needs version ${shipped}; run \`sluice init\` for the target.`,
      safe: 'Nothing was changed.',
    });
  }
}

/**
 * Installs or upgrades schema `sluice`, in one transaction, one installer at a time. Running it again changes
 * nothing.
 *
 * @throws SluiceError `engine_schema_newer`, `target_permission`, `target_read_only`
 */
export async function installEngine(client: pg.Client): Promise<EngineVersions> {
  try {
    return await inTransaction(client, 'read write', LIMITS, async () => {
      await client.query(`select pg_advisory_xact_lock(hashtextextended('sluice.install-engine', 0))`);
      const { installed, shipped } = await readEngineVersions(client);
      if (installed > shipped) throw newerEngine(installed, shipped);
      for (const { version, name } of await shippedFiles()) {
        if (version <= installed) continue;
        await client.query(await readFile(new URL(name, `file://${ENGINE_SQL}`), 'utf8'));
        await client.query('insert into sluice.engine_version (version) values ($1)', [version]);
      }
      return { installed: shipped, shipped };
    });
  } catch (error) {
    throw mapDatabaseError(error, 'Installing the engine schema `sluice`');
  }
}

function newerEngine(installed: number, shipped: number): SluiceError {
  return new SluiceError('engine_schema_newer', {
    what: `The target has engine schema version ${installed}, newer than this program's ${shipped}.`,
    expected: 'A program at least as new as the schema; upgrade sluice on this machine.',
    safe: 'Nothing was changed.',
  });
}
