import { randomBytes } from 'node:crypto';
import { SluiceError } from '../contracts/error-codes.ts';
import { mapDatabaseError } from '../target/map-database-error.ts';
import { withSession } from '../target/open-session.ts';
import { abortError, stopIfAborted } from './abort-error.ts';
import { REPORT_EVERY_MS } from './backup-options.ts';
import { type BackupProgress, type BackupReceipt, writeReceipt } from './backup-receipt.ts';
import { createMissingRoles, createRestoreDatabase } from './create-restore-database.ts';
import { databaseUrl } from './database-url.ts';
import { compareRows, type FillOptions, fillDatabase } from './fill-database.ts';
import type { ToolPlaces } from './find-dump-tools.ts';
import { startScratchCluster } from './scratch-cluster.ts';
import { whileReporting } from './while-reporting.ts';

export interface ProveOptions extends ToolPlaces {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: BackupProgress) => void;
  /**
   * Connection string of a server that may hold the restore, with a role that may create databases. Not the
   * target's own: there a restore holds back the horizon for as long as it runs. Without it, a throw-away
   * cluster is started on this machine.
   */
  readonly restoreServer?: string | undefined;
  /** Where the throw-away cluster is put; the machine's temporary directory when absent. */
  readonly scratchDir?: string | undefined;
}

const APPLICATION = 'sluice restore';

/**
 * Proves that the dump restores: into a throw-away database, where every table then has as many rows as in
 * the snapshot. The database is dropped afterwards, also on failure and abort.
 *
 * In a throw-away local cluster the roles that the dump names are created first (no login), so owners, grants
 * and policies are restored as they were. On a named server no role is created: owners and grants are left
 * out, and a policy for a role that is not there fails the proof.
 *
 * @returns the receipt with `restoredInto`, `restoredTables` and the durations, written beside the dump too
 * @throws {SluiceError} `backup_corrupt`, `backup_tool_missing`, `backup_disk_full`, `target_unreachable` (the
 * restore server), `step_failed`, `interrupted`
 */
export async function proveDump(receipt: BackupReceipt, options: ProveOptions): Promise<BackupReceipt> {
  stopIfAborted(options.signal, 'The restore');
  const startedAt = performance.now();
  let comparedAt = startedAt;
  const compare = async (url: string, fill: FillOptions) => {
    await fillDatabase(url, receipt, fill);
    comparedAt = performance.now();
    return await compareRows(url, receipt, fill);
  };
  try {
    const { into, compared } =
      options.restoreServer === undefined
        ? await inThrowAwayCluster(receipt, options, compare)
        : await onNamedServer(options.restoreServer, receipt, options, compare);
    const proven: BackupReceipt = {
      ...receipt,
      restoredInto: into,
      restoredTables: { compared, equal: compared },
      durationMs: {
        ...receipt.durationMs,
        restore: Math.round(comparedAt - startedAt),
        compare: Math.round(performance.now() - comparedAt),
      },
    };
    await writeReceipt(proven);
    return proven;
  } catch (error) {
    if (options.signal.aborted) throw abortError(options.signal, 'The restore');
    if (error instanceof SluiceError) throw error;
    throw mapDatabaseError(error, 'Restoring the backup');
  }
}

type Compare = (url: string, fill: FillOptions) => Promise<number>;

async function inThrowAwayCluster(receipt: BackupReceipt, options: ProveOptions, compare: Compare) {
  const starting = () =>
    options.onProgress({ phase: 'restore', bytes: 0, detail: 'starting a throw-away cluster' });
  const cluster = await whileReporting(REPORT_EVERY_MS, starting, () =>
    startScratchCluster({
      serverMajor: receipt.serverMajor,
      neededBytes: receipt.databaseBytes + 128 * 1_048_576,
      signal: options.signal,
      scratchDir: options.scratchDir,
    }),
  );
  try {
    const remark = await withSession(
      { url: cluster.adminUrl, applicationName: APPLICATION },
      async (admin) => {
        await createMissingRoles(admin, receipt);
        return await createRestoreDatabase(admin, 'restored', receipt);
      },
    );
    const url = databaseUrl(cluster.adminUrl, 'restored');
    const compared = await compare(url, { ...options, withOwnersAndGrants: true, withSubscriptions: false });
    return { into: [cluster.description, remark].filter((s) => s !== '').join('; '), compared };
  } finally {
    await cluster.stop();
  }
}

async function onNamedServer(
  server: string,
  receipt: BackupReceipt,
  options: ProveOptions,
  compare: Compare,
) {
  const name = `sluice_restore_${randomBytes(6).toString('hex')}`;
  return await withSession({ url: server, applicationName: APPLICATION }, async (admin) => {
    const remark = await createRestoreDatabase(admin, name, receipt);
    try {
      const url = databaseUrl(server, name);
      const compared = await compare(url, {
        ...options,
        withOwnersAndGrants: false,
        withSubscriptions: false,
      });
      const { rows } = await admin.query<{ version: string }>(
        `select current_setting('server_version') as version`,
      );
      const into = `the named server ${admin.host}:${admin.port} (PostgreSQL ${rows[0]?.version}), without owners and grants`;
      return { into: [into, remark].filter((s) => s !== '').join('; '), compared };
    } finally {
      await dropDatabase(server, name);
    }
  });
}

/** Over a session of its own: the one that created it may be what broke. */
async function dropDatabase(server: string, name: string): Promise<void> {
  await withSession({ url: server, applicationName: APPLICATION }, async (admin) => {
    await admin.query(`drop database if exists ${admin.escapeIdentifier(name)} with (force)`);
  });
}
