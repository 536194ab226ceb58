import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { type ImportResult, importMarkdown } from '../../../iu/import-markdown.ts';

export interface Documents {
  /** Edits every section and imports the folder: units at first, then a version and an event of each. */
  edit(sql: pg.ClientBase): Promise<ImportResult>;
  remove(): Promise<void>;
}

/** A folder of Markdown that somebody edits: `sections` information units in two files. */
export async function documents(sections = 6): Promise<Documents> {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-documents-'));
  let edition = 0;
  const text = (file: string) => [
    `# ${file}`,
    ...Array.from(
      { length: sections / 2 - 1 },
      (_, index) => `## Part ${index + 1}\n\nEdition ${edition} of this part of ${file}.`,
    ),
  ];
  return {
    async edit(sql) {
      edition += 1;
      await mkdir(join(dir, 'guide'), { recursive: true });
      for (const file of ['runbook', 'guide/start'])
        await writeFile(
          join(dir, `${file}.md`),
          `${text(file).join('\n\n').replace('\n\n', `\n\nEdition ${edition}.\n\n`)}\n`,
        );
      return importMarkdown(sql, { dir, prefix: 'docs', actor: 'an editor' });
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
