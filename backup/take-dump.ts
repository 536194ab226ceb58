import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type pg from 'pg';
import { openSession } from '../target/open-session.ts';
import { stopIfAborted } from './abort-error.ts';
import { attemptFileOf, removePartials } from './attempt-file.ts';
import {
  checkFileStem,
  DEFAULT_MIN_FREE_BYTES,
  REPORT_EVERY_MS,
  type TakeOptions,
} from './backup-options.ts';
import { type BackupReceipt, syncDirectory, type TableRows, writeReceipt } from './backup-receipt.ts';
import { checkDiskSpace } from './check-disk-space.ts';
import { countTables } from './count-tables.ts';
import { type DumpTools, findDumpTools } from './find-dump-tools.ts';
import { hashFile } from './hash-file.ts';
import { holdSnapshot, LOCK_WAIT_MS, type SnapshotFacts } from './hold-snapshot.ts';
import { libpqEnvironment } from './libpq-environment.ts';
import { programError } from './program-error.ts';
import { readToc } from './read-toc.ts';
import { receiptFacts } from './receipt-facts.ts';
import { runLeashed } from './run-leashed.ts';
import { takeError } from './take-error.ts';
import { whileReporting } from './while-reporting.ts';

const APPLICATION = 'sluice backup';

/**
 * Dumps one database, every schema of it (the engine's own `sluice` too), with `pg_dump -Fc` on an exported
 * snapshot, counting the rows of every user table in the same snapshot. The file appears under its final
 * name only when it is complete, on disk and hashed; its receipt lies beside it. An abort leaves no process
 * and no partial file; neither does a death of this process leave a `pg_dump`.
 *
 * @throws {SluiceError} `backup_tool_missing`, `backup_tool_older`, `backup_disk_full`, `target_unreachable`,
 * `target_authentication`, `target_permission`, `lock_timeout`, `step_failed`, `interrupted`
 */
export async function takeDump(options: TakeOptions): Promise<BackupReceipt> {
  checkFileStem(options.fileStem);
  const file = attemptFileOf(resolve(options.dir), options.fileStem, options.attempt, 'dump');
  const partial = `${file}.partial`;
  stopIfAborted(options.signal, 'The backup');
  const client = await openSession({ url: options.url, applicationName: APPLICATION });
  const closeClient = () => void client.end().catch(() => undefined);
  options.signal.addEventListener('abort', closeClient, { once: true });
  try {
    const facts = await holdSnapshot(client);
    const tools = await findDumpTools(facts.serverMajor, options);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await removePartials(dirname(file), options.fileStem, options.attempt);
    const needed = facts.tableBytes + (options.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES);
    await checkDiskSpace(dirname(file), needed, `A dump of database ${facts.database}`);
    const dumpedAt = performance.now();
    const tables = await dumpAndCount(options, client, facts, tools, partial);
    await syncFile(partial);
    const { size } = await stat(partial);
    options.onProgress({ phase: 'dump', bytes: size, detail: 'complete' });
    const hashedAt = performance.now();
    const tocEntries = await readToc(tools.binDir, partial, options.signal);
    const { sha256, bytes } = await hashFile(partial, options.signal, (read) =>
      options.onProgress({ phase: 'hash', bytes: read, detail: 'sha256 of the dump' }),
    );
    await rename(partial, file);
    await syncDirectory(dirname(file));
    const receipt: BackupReceipt = {
      version: 1,
      format: 'custom',
      file,
      bytes,
      sha256,
      tocEntries,
      attempt: options.attempt,
      toolVersion: `pg_dump ${tools.version}`,
      ...receiptFacts(facts),
      tables,
      notCovered: [],
      restoredInto: null,
      restoredTables: null,
      durationMs: {
        dump: Math.round(hashedAt - dumpedAt),
        hash: Math.round(performance.now() - hashedAt),
        restore: null,
        compare: null,
      },
    };
    await writeReceipt(receipt);
    return receipt;
  } catch (error) {
    await rm(partial, { force: true });
    throw takeError(error, options.signal, dirname(file));
  } finally {
    options.signal.removeEventListener('abort', closeClient);
    await client.end().catch(() => undefined);
  }
}

async function dumpAndCount(
  options: TakeOptions,
  client: pg.Client,
  facts: SnapshotFacts,
  tools: DumpTools,
  partial: string,
): Promise<TableRows[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([options.signal, failed.signal]);
  let dumping = 'pg_dump started';
  let counting = '';
  const report = async () => {
    const bytes = await stat(partial).then(
      ({ size }) => size,
      () => 0,
    );
    options.onProgress({
      phase: 'dump',
      bytes,
      detail: [dumping, counting].filter((s) => s !== '').join('; '),
    });
  };
  return await whileReporting(REPORT_EVERY_MS, report, async () => {
    const counted = countTables(client, (done, total) => {
      counting = `rows counted in ${done} of ${total} tables`;
    });
    const dumped = runLeashed({
      file: join(tools.binDir, 'pg_dump'),
      args: [
        '--format=custom',
        `--file=${partial}`,
        `--snapshot=${facts.snapshotId}`,
        `--lock-wait-timeout=${LOCK_WAIT_MS}`,
        '--no-password',
        '--verbose',
      ],
      env: libpqEnvironment(options.url, APPLICATION),
      signal,
      onLine: (line) => {
        const table = /dumping contents of table "(.+)"/.exec(line)?.[1];
        if (table !== undefined) dumping = `dumping ${table}`;
      },
    }).then((result) => {
      if (result.exitCode !== 0) throw programError(`pg_dump ${tools.version}`, dirname(partial), result);
    });
    try {
      const [tables] = await Promise.all([counted, dumped]);
      return tables;
    } catch (error) {
      failed.abort(error);
      await client.end().catch(() => undefined);
      await Promise.allSettled([counted, dumped]);
      throw error;
    }
  });
}

async function syncFile(file: string): Promise<void> {
  const handle = await open(file, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
