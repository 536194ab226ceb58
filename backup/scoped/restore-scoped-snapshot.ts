import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { SluiceError } from '../../contracts/error-codes.ts';
import { type Frame, type Manifest, readFrames, type TableEnd, unreadable } from './container.ts';
import { copyStatement, hashRows, settleTextFormat } from './copy-text.ts';
import type { CopiedTable, Definition, Section } from './definition.ts';
import { describeSchema } from './describe-schema.ts';

export interface RestoreScopedOptions {
  readonly file: string;
  readonly withOwnersAndGrants: boolean;
  readonly signal: AbortSignal;
  readonly onDetail: (line: string) => void;
}

/**
 * Makes everything of a scoped snapshot again in an empty database, then reads it back: every table has the
 * rows of the snapshot (by sha256) and every object is there.
 * @throws {SluiceError} `backup_corrupt`, `step_failed` naming the statement
 */
export async function restoreScopedSnapshot(client: pg.Client, options: RestoreScopedOptions): Promise<void> {
  const frames = readFrames(options.file);
  const first = await frames.next();
  if (first.done === true || first.value.type !== 'M')
    throw unreadable(options.file, 'it does not start as one');
  const manifest = first.value.value;
  await settleTextFormat(client);
  await client.query('set check_function_bodies = off; set row_security = off; set statement_timeout = 0');
  await define(client, manifest, ['before_rows'], options);
  const loaded = await loadTables(client, frames, options);
  for (const { table, end } of loaded) {
    options.onDetail(`reading ${table.schema}.${table.name} back`);
    if ((await hashRows(client, table)) !== end.sha256) {
      throw unreadable(options.file, `table ${table.schema}.${table.name} does not come out as it went in`);
    }
  }
  const privileges: Section[] = options.withOwnersAndGrants ? ['owner', 'grant'] : [];
  await define(client, manifest, ['after_rows', ...privileges, 'last'], options);
  await compareDefinitions(client, manifest, options);
}

async function define(
  client: pg.Client,
  manifest: Manifest,
  sections: readonly Section[],
  options: RestoreScopedOptions,
) {
  for (const section of sections) {
    for (const definition of manifest.definitions.filter((one) => one.section === section)) {
      options.onDetail(`creating ${definition.kind} ${definition.identity}`);
      try {
        await client.query(definition.sql);
      } catch (error) {
        if (options.signal.aborted) throw error;
        throw new SluiceError(
          'step_failed',
          {
            what: `Restoring ${definition.kind} ${definition.identity} failed: ${error instanceof Error ? error.message : error}.`,
            expected: 'Every statement of the snapshot succeeds in an empty database.',
            safe: 'The target was only read; the restored copy is dropped.',
          },
          { cause: error },
        );
      }
    }
  }
}

async function loadTables(client: pg.Client, frames: AsyncGenerator<Frame>, options: RestoreScopedOptions) {
  const loaded: { table: CopiedTable; end: TableEnd }[] = [];
  for (;;) {
    const next = await frames.next();
    if (next.done === true) return loaded;
    const frame = next.value;
    if (frame.type === 'Z') {
      if (frame.value.tables !== loaded.length)
        throw unreadable(options.file, 'it does not hold all of its tables');
      continue;
    }
    if (frame.type !== 'T') throw unreadable(options.file, 'its frames are out of order');
    options.onDetail(`loading ${frame.value.schema}.${frame.value.name}`);
    loaded.push({ table: frame.value, end: await loadTable(client, frame.value, frames, options) });
  }
}

async function loadTable(
  client: pg.Client,
  table: CopiedTable,
  frames: AsyncGenerator<Frame>,
  options: RestoreScopedOptions,
): Promise<TableEnd> {
  const hash = createHash('sha256');
  let end: TableEnd | undefined;
  async function* rows() {
    while (end === undefined) {
      const next = await frames.next();
      if (next.done === true) return;
      if (next.value.type === 'D') {
        hash.update(next.value.rows);
        yield next.value.rows;
      } else if (next.value.type === 'E') end = next.value.value;
      else throw unreadable(options.file, 'its frames are out of order');
    }
  }
  const stream = client.query(copyFrom(copyStatement(client, table, 'from stdin')));
  await pipeline(Readable.from(rows(), { objectMode: false }), stream, { signal: options.signal });
  const name = `${table.schema}.${table.name}`;
  if (end === undefined) throw unreadable(options.file, `table ${name} has no end`);
  if (hash.digest('hex') !== end.sha256)
    throw unreadable(options.file, `the rows of ${name} have another sha256`);
  if (stream.rowCount !== end.rows) throw unreadable(options.file, `${name} has another number of rows`);
  return end;
}

/** By kind and name; the text of an expression may change when it is read back. */
async function compareDefinitions(client: pg.Client, manifest: Manifest, options: RestoreScopedOptions) {
  const compared = (definitions: readonly Definition[]) =>
    new Set(
      definitions
        .filter(({ section }) => section !== 'owner' && section !== 'grant')
        .map(({ kind, identity }) => `${kind} ${identity}`),
    );
  const expected = compared(manifest.definitions);
  const found = compared(await describeSchema(client));
  const missing = [...expected].filter((one) => !found.has(one));
  const extra = [...found].filter((one) => !expected.has(one));
  if (missing.length + extra.length === 0) return;
  throw unreadable(
    options.file,
    `the restored copy lacks ${missing.length} objects (${missing.slice(0, 5).join(', ')}) and has ${extra.length} others (${extra.slice(0, 5).join(', ')})`,
  );
}
