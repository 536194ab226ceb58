import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderReportLine, reportHead } from '../../delivery/report/render-report-line.ts';
import { type ReportEntry, readEntry } from '../../delivery/report/report-entry.ts';

/** Lines of the record; fails on one that is no entry, and on an end without a line break. */
async function linesOf(dir: string, name: string): Promise<string[]> {
  const lines = (await readFile(join(dir, `${name}.jsonl`), 'utf8')).split('\n');
  if (lines.pop() !== '') throw new Error('the record does not end with a line break');
  const bad = lines.find((line) => readEntry(line) === null);
  if (bad !== undefined) throw new Error(`no entry: ${bad.slice(0, 200)}`);
  return lines;
}

export async function entriesOf(dir: string, name: string): Promise<ReportEntry[]> {
  return (await linesOf(dir, name)).map((line) => JSON.parse(line));
}

export async function keysOf(dir: string, name: string): Promise<string[]> {
  return (await entriesOf(dir, name)).map((entry) => entry.idempotency_key);
}

export const markdownOf = (dir: string, name: string) => readFile(join(dir, `${name}.md`), 'utf8');

/** The Markdown that the record makes, made in one go. */
export async function markdownFrom(dir: string, name: string): Promise<string> {
  return reportHead(name) + (await linesOf(dir, name)).map(renderReportLine).join('');
}
