import type pg from 'pg';
import { importMarkdown } from '../iu/import-markdown.ts';
import type { DocumentPoint } from './document-points.ts';

/** Imports one wording of the documents: new sections become units, edited ones new versions with their events. */
export async function importDocuments(
  sql: pg.Client,
  point: DocumentPoint,
  say: (line: string) => void,
): Promise<void> {
  const imported = await importMarkdown(sql, {
    dir: point.dir,
    prefix: 'sluice',
    actor: 'demo',
    source: { origin: point.origin },
  });
  say(
    `Imported the project's documents (${point.origin}): ${imported.units} units, ${imported.created} new, ${imported.versionsAdded} versions, ${imported.events} events.`,
  );
}
