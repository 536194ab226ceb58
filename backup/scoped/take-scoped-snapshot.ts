import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import type pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { openSession } from '../../target/open-session.ts';
import { stopIfAborted } from '../abort-error.ts';
import { attemptFileOf, removePartials } from '../attempt-file.ts';
import {
  checkFileStem,
  DEFAULT_MIN_FREE_BYTES,
  REPORT_EVERY_MS,
  type TakeOptions,
} from '../backup-options.ts';
import { type BackupReceipt, syncDirectory, type TableRows, writeReceipt } from '../backup-receipt.ts';
import { checkDiskSpace } from '../check-disk-space.ts';
import { holdSnapshot, type SnapshotFacts } from '../hold-snapshot.ts';
import { receiptFacts } from '../receipt-facts.ts';
import { takeError } from '../take-error.ts';
import { whileReporting } from '../while-reporting.ts';
import { encodeFrame } from './container.ts';
import { copyStatement, settleTextFormat } from './copy-text.ts';
import type { CopiedTable, Definition } from './definition.ts';
import { describeSchema, listCopiedTables } from './describe-schema.ts';
import { findUncovered } from './find-uncovered.ts';

/**
 * The backup for where there is no `pg_dump`: definitions from the catalog and the rows of every table by
 * COPY, each with its count and sha256, all of one REPEATABLE READ READ ONLY snapshot, in one file. It covers
 * what applications usually have (tables, partitions, constraints, indexes, sequences, views, functions,
 * triggers, rules, policies, types, comments, owners, grants) and refuses a database with anything vital
 * beyond that; `notCovered` names what else it leaves out.
 *
 * @throws {SluiceError} as `takeDump`; `backup_tool_missing` for a database that only `pg_dump` can back up
 */
export async function takeScopedSnapshot(options: TakeOptions): Promise<BackupReceipt> {
  checkFileStem(options.fileStem);
  const file = attemptFileOf(resolve(options.dir), options.fileStem, options.attempt, 'scoped');
  const partial = `${file}.partial`;
  stopIfAborted(options.signal, 'The backup');
  const client = await openSession({ url: options.url, applicationName: 'sluice backup' });
  const closeClient = () => void client.end().catch(() => undefined);
  options.signal.addEventListener('abort', closeClient, { once: true });
  try {
    const facts = await holdSnapshot(client);
    await settleTextFormat(client);
    const notCovered = await findUncovered(client);
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    await removePartials(dirname(file), options.fileStem, options.attempt);
    const needed = facts.tableBytes + (options.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES);
    await checkDiskSpace(dirname(file), needed, `A scoped snapshot of database ${facts.database}`);
    const startedAt = performance.now();
    const definitions = await describeSchema(client);
    const written = await writeSnapshot(client, facts, definitions, partial, options);
    await rename(partial, file);
    await syncDirectory(dirname(file));
    const receipt: BackupReceipt = {
      version: 1,
      format: 'scoped-snapshot',
      file,
      bytes: written.bytes,
      sha256: written.sha256,
      tocEntries: definitions.length + written.tables.length,
      attempt: options.attempt,
      toolVersion: 'sluice scoped-snapshot 1',
      ...receiptFacts(facts),
      tables: written.tables,
      notCovered,
      restoredInto: null,
      restoredTables: null,
      // Hashed while it is written.
      durationMs: { dump: Math.round(performance.now() - startedAt), hash: 0, restore: null, compare: null },
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

async function writeSnapshot(
  client: pg.Client,
  facts: SnapshotFacts,
  definitions: readonly Definition[],
  partial: string,
  options: TakeOptions,
): Promise<{ sha256: string; bytes: number; tables: TableRows[] }> {
  const copied = await listCopiedTables(client);
  const tables: TableRows[] = [];
  const hash = createHash('sha256');
  let bytes = 0;
  let detail = 'reading definitions';
  async function* frames() {
    const { database, serverVersion, takenAt } = facts;
    const about = { format: 'sluice scoped-snapshot', version: 1, database, serverVersion, takenAt } as const;
    yield encodeFrame({ type: 'M', value: { ...about, definitions } });
    for (const table of copied) {
      detail = `copying ${table.schema}.${table.name} (${tables.length + 1} of ${copied.length} tables)`;
      const rows = yield* tableFrames(client, table);
      tables.push({ schema: table.schema, name: table.name, rows });
    }
    yield encodeFrame({ type: 'Z', value: { tables: copied.length } });
  }
  const hashed = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      bytes += chunk.length;
      done(null, chunk);
    },
  });
  const report = () => options.onProgress({ phase: 'dump', bytes, detail });
  await whileReporting(REPORT_EVERY_MS, report, () =>
    pipeline(
      Readable.from(frames(), { objectMode: false }),
      createGzip({ level: 4 }),
      hashed,
      createWriteStream(partial, { mode: 0o600 }),
      { signal: options.signal },
    ),
  );
  const handle = await open(partial, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  detail = 'complete';
  report();
  const { size } = await stat(partial);
  if (size !== bytes) throw new Error(`${partial} has ${size} bytes instead of ${bytes}`);
  return { sha256: hash.digest('hex'), bytes, tables };
}

async function* tableFrames(client: pg.Client, table: CopiedTable): AsyncGenerator<Buffer, number> {
  yield encodeFrame({ type: 'T', value: table });
  const hash = createHash('sha256');
  let bytes = 0;
  const stream = client.query(copyTo(copyStatement(client, table, 'to stdout')));
  for await (const chunk of stream) {
    const rows: Buffer = chunk;
    hash.update(rows);
    bytes += rows.length;
    yield encodeFrame({ type: 'D', rows });
  }
  yield encodeFrame({ type: 'E', value: { rows: stream.rowCount, bytes, sha256: hash.digest('hex') } });
  return stream.rowCount;
}
