import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { type ImportResult, importMarkdown } from '../../../iu/import-markdown.ts';
import { harness } from '../../support/harness.ts';

export interface Documents {
  /** Edits every section and imports the folder: units at first, then a version and an event of each. */
  edit(sql: pg.ClientBase): Promise<ImportResult>;
  remove(): Promise<void>;
}

/** A folder of Markdown that somebody edits: six information units in two files, as of an edition. */
export async function documents({ edition = 0 } = {}): Promise<Documents> {
  const dir = await mkdtemp(join(harness().dir, 'documents-'));
  return {
    async edit(sql) {
      edition += 1;
      await mkdir(join(dir, 'guide'), { recursive: true });
      for (const file of ['runbook', 'guide/start'])
        await writeFile(
          join(dir, `${file}.md`),
          ['#', '## First', '## Second']
            .map((heading) => `${heading} part of ${file}\n\nEdition ${edition} of it.\n`)
            .join('\n'),
        );
      return importMarkdown(sql, { dir, prefix: 'docs', actor: 'an editor' });
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
