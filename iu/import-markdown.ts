import { basename, join, resolve } from 'node:path';
import pg from 'pg';
import { SluiceError } from '../contracts/error-codes.ts';
import { documentAddress } from './document-address.ts';
import { documentSections, type Section } from './document-sections.ts';
import { importFailure } from './import-failure.ts';
import { listMarkdownFiles } from './list-markdown-files.ts';
import { readMarkdownFile } from './read-markdown-file.ts';

export interface ImportOptions {
  /** Folder to import. */
  readonly dir: string;
  /** Who imports, as claimed by the caller. */
  readonly actor: string;
  /** First part of every address; by default the folder's name, so that `docs` gives `docs/runbook.md#restart`. */
  readonly prefix?: string;
  /** Recorded with every version, beside the path and the lines; for instance the commit. */
  readonly source?: { readonly [key: string]: string | number | boolean | null };
  /** Paths below the folder, of files or folders, that are left out; units of theirs are not called missing. */
  readonly exclude?: readonly string[];
  /** Schema that IU Core is installed in; by default the one that the client's search_path finds. */
  readonly schema?: string;
}

export interface ImportResult {
  /** Files with at least one section. */
  readonly files: number;
  /** Sections found; each is one information unit. */
  readonly units: number;
  readonly created: number;
  readonly versionsAdded: number;
  readonly unchanged: number;
  /** `version_applied` events that the added versions emitted. */
  readonly events: number;
  /** Addresses of live units under the prefix whose section is gone; they are kept. */
  readonly missing: string[];
  /** Symbolic links below the folder that were not followed. */
  readonly links: string[];
}

interface Document {
  readonly path: string;
  readonly address: string;
  readonly sections: readonly Section[];
}

interface Counts {
  readonly created: number;
  readonly versions_added: number;
  readonly unchanged: number;
  readonly events: number;
}

/**
 * Turns a folder of Markdown into information units, one for each section, and the text of a section that changed
 * since the last import into a new version. Every file is read and checked before the first is written; then each
 * is one statement, and so one transaction (or part of the caller's, if the client is in one). Nothing is deleted.
 *
 * @throws SluiceError `usage`, `import_invalid` (naming file and line), `iu_core_missing`, or the code of what the
 * database answered; the message says which files were already imported
 */
export async function importMarkdown(client: pg.ClientBase, options: ImportOptions): Promise<ImportResult> {
  const { actor, exclude = [] } = options;
  if (actor.trim() === '') {
    throw new SluiceError('usage', {
      what: 'The actor is empty.',
      expected: 'The name of a person or service was expected.',
      safe: 'Nothing was changed; name the actor and try again.',
    });
  }
  const prefix = documentAddress(
    '',
    (options.prefix ?? basename(resolve(options.dir))).split('/').filter(Boolean),
  );
  const listed = await listMarkdownFiles(options.dir, exclude);
  const documents: Document[] = [];
  for (const parts of listed.files) {
    const path = join(options.dir, ...parts);
    const address = documentAddress(prefix, parts);
    const sections = documentSections(address, await readMarkdownFile(path));
    requireShortAddresses(path, sections);
    if (sections.length > 0) documents.push({ path: parts.join('/'), address, sections });
  }

  const schema = options.schema === undefined ? '' : `${pg.escapeIdentifier(options.schema)}.`;
  const total = { created: 0, versionsAdded: 0, unchanged: 0, events: 0 };
  const present: string[] = [];
  for (const [index, document] of documents.entries()) {
    const counts = await importDocument(client, schema, document, options).catch((cause: unknown) => {
      throw importFailure(cause, join(options.dir, document.path), index);
    });
    total.created += counts.created;
    total.versionsAdded += counts.versions_added;
    total.unchanged += counts.unchanged;
    total.events += counts.events;
    for (const section of document.sections) present.push(section.code);
  }

  const missing = await client
    .query<{ unit_code: string; document: string }>(
      `select unit_code, document from ${schema}fn_iu_missing_units($1, $2)`,
      [prefix, present],
    )
    .catch((cause: unknown) => {
      throw importFailure(cause, options.dir, documents.length);
    });
  const left = exclude.map((path) =>
    documentAddress(
      prefix,
      path.split('/').filter((part) => part !== '' && part !== '.'),
    ),
  );
  return {
    files: documents.length,
    units: present.length,
    ...total,
    missing: missing.rows
      .filter(({ document }) => !left.some((path) => document === path || document.startsWith(`${path}/`)))
      .map(({ unit_code }) => unit_code),
    links: [...listed.links],
  };
}

async function importDocument(
  client: pg.ClientBase,
  schema: string,
  document: Document,
  options: ImportOptions,
): Promise<Counts> {
  const sections = document.sections.map(({ firstLine, lastLine, ...section }) => ({
    ...section,
    source: { lines: `${firstLine}-${lastLine}` },
  }));
  const { rows } = await client.query<Counts>(
    `select created, versions_added, unchanged, events from ${schema}fn_iu_import_document($1, $2, $3, $4)`,
    [
      document.address,
      JSON.stringify(sections),
      options.actor,
      JSON.stringify({ ...options.source, kind: 'markdown', path: document.path }),
    ],
  );
  const [counts] = rows;
  if (counts === undefined) throw new Error('fn_iu_import_document returned no row');
  return counts;
}

function requireShortAddresses(path: string, sections: readonly Section[]): void {
  const long = sections.find(({ code }) => Buffer.byteLength(code) > 2000);
  if (long === undefined) return;
  throw new SluiceError('import_invalid', {
    what: `${path}:${long.firstLine}: the address of this section has ${Buffer.byteLength(long.code)} bytes.`,
    expected: 'An address has at most 2000 bytes; shorten the headings that the section is nested in.',
    safe: 'Nothing was changed.',
  });
}
