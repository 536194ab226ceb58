import { join } from 'node:path';
import pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { stopIfAborted } from './abort-error.ts';
import { REPORT_EVERY_MS } from './backup-options.ts';
import type { BackupProgress, BackupReceipt } from './backup-receipt.ts';
import { countTables } from './count-tables.ts';
import { findDumpTools, type ToolPlaces } from './find-dump-tools.ts';
import { libpqEnvironment } from './libpq-environment.ts';
import { programError } from './program-error.ts';
import { runLeashed } from './run-leashed.ts';
import { restoreScopedSnapshot } from './scoped/restore-scoped-snapshot.ts';
import { whileReporting } from './while-reporting.ts';

const APPLICATION = 'sluice restore';

export interface FillOptions extends ToolPlaces {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: BackupProgress) => void;
  /** Without: every object belongs to the restoring role and nobody else is granted anything. */
  readonly withOwnersAndGrants: boolean;
  /** Without: subscriptions, which could connect to another server, are left out. */
  readonly withSubscriptions: boolean;
}

/** Restores the dump into an empty database. Any error of any statement fails it. */
export async function fillDatabase(url: string, receipt: BackupReceipt, options: FillOptions): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: APPLICATION });
  client.on('error', () => undefined);
  await client.connect();
  let detail = `restoring ${receipt.database}`;
  const report = async () => {
    const { rows } = await client.query<{ bytes: string }>(
      'select pg_database_size(current_database()) as bytes',
    );
    options.onProgress({ phase: 'restore', bytes: Number(rows[0]?.bytes ?? 0), detail });
  };
  const onDetail = (line: string) => {
    detail = line;
  };
  try {
    await whileReporting(REPORT_EVERY_MS, report, () =>
      receipt.format === 'custom'
        ? restoreCustom(url, receipt, options, onDetail)
        : restoreScoped(url, receipt, options, onDetail),
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function restoreScoped(
  url: string,
  receipt: BackupReceipt,
  options: FillOptions,
  onDetail: (line: string) => void,
): Promise<void> {
  const client = new pg.Client({ connectionString: url, application_name: APPLICATION });
  client.on('error', () => undefined);
  const close = () => void client.end().catch(() => undefined);
  options.signal.addEventListener('abort', close, { once: true });
  try {
    await client.connect();
    await restoreScopedSnapshot(client, { ...options, file: receipt.file, onDetail });
  } finally {
    options.signal.removeEventListener('abort', close);
    await client.end().catch(() => undefined);
  }
}

async function restoreCustom(
  url: string,
  receipt: BackupReceipt,
  options: FillOptions,
  onDetail: (line: string) => void,
): Promise<void> {
  const tools = await findDumpTools(
    Number.parseInt(receipt.toolVersion.replace('pg_dump ', ''), 10),
    options,
  );
  const env = libpqEnvironment(url, APPLICATION);
  const result = await runLeashed({
    file: join(tools.binDir, 'pg_restore'),
    args: [
      '--exit-on-error',
      '--no-tablespaces',
      '--no-password',
      '--verbose',
      ...(options.withOwnersAndGrants ? [] : ['--no-owner', '--no-privileges']),
      ...(options.withSubscriptions ? [] : ['--no-subscriptions']),
      `--dbname=${env.PGDATABASE}`,
      receipt.file,
    ],
    env,
    signal: options.signal,
    onLine: (line) => {
      const said = /pg_restore: (processing data for table|creating) (.+)/.exec(line);
      if (said !== null) onDetail(`${said[1] === 'creating' ? 'creating' : 'loading'} ${said[2]}`);
    },
  });
  stopIfAborted(options.signal, 'The restore');
  if (result.exitCode !== 0) throw programError(`pg_restore ${tools.version}`, 'the restore server', result);
}

/**
 * Counts every table of a restored database and compares with the receipt, tables that only one of them has
 * included.
 * @returns how many tables were compared
 * @throws {SluiceError} `backup_corrupt` naming the differences
 */
export async function compareRows(
  url: string,
  receipt: BackupReceipt,
  options: FillOptions,
): Promise<number> {
  const client = new pg.Client({ connectionString: url, application_name: APPLICATION });
  client.on('error', () => undefined);
  const close = () => void client.end().catch(() => undefined);
  options.signal.addEventListener('abort', close, { once: true });
  try {
    await client.connect();
    let detail = 'counting rows';
    const report = () => options.onProgress({ phase: 'compare', bytes: receipt.bytes, detail });
    const restored = await whileReporting(REPORT_EVERY_MS, report, () =>
      countTables(client, (done, total, table) => {
        detail = `${table.schema}.${table.name}: ${table.rows} rows (${done} of ${total} tables)`;
        report();
      }),
    );
    const key = (table: { schema: string; name: string }) => JSON.stringify([table.schema, table.name]);
    const found = new Map(restored.map((table) => [key(table), table.rows]));
    const expected = new Map(receipt.tables.map((table) => [key(table), table.rows]));
    const differences = [...new Set([...expected.keys(), ...found.keys()])]
      .filter((name) => expected.get(name) !== found.get(name))
      .map(
        (name) =>
          `${name} has ${found.get(name) ?? 'no table'} instead of ${expected.get(name) ?? 'no table'}`,
      );
    if (differences.length === 0) return receipt.tables.length;
    throw new SluiceError('backup_corrupt', {
      what: `The restored copy differs in ${differences.length} tables: ${differences.slice(0, 5).join('; ')}.`,
      expected: 'The row counts of the snapshot that was dumped.',
      safe: 'The target was not touched; take another backup before anything is changed.',
    });
  } finally {
    options.signal.removeEventListener('abort', close);
    await client.end().catch(() => undefined);
  }
}
