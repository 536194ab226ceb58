import { randomUUID } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Evidence } from './evidence-document.ts';
import { renderHtml } from './render-html.ts';
import { renderJson } from './render-json.ts';
import { renderMarkdown } from './render-markdown.ts';

export interface ReportFiles {
  readonly markdown: string;
  readonly json: string;
  readonly html: string;
}

/**
 * Writes `run-<no>-<macro>.{md,json,html}` into `dir`, which is created; each file appears whole or not at all,
 * and replaces an older report of the same run.
 *
 * @returns the paths
 */
export async function writeReport(evidence: Evidence, dir: string): Promise<ReportFiles> {
  await mkdir(dir, { recursive: true });
  const macro = evidence.run.macro.replace(/[^\w.-]/g, '-');
  const base = join(dir, `run-${evidence.run.runNo}-${macro}`);
  const write = async (ending: string, text: string) => {
    const path = `${base}.${ending}`;
    await writeWhole(path, text);
    return path;
  };
  return {
    markdown: await write('md', renderMarkdown(evidence)),
    json: await write('json', renderJson(evidence)),
    html: await write('html', renderHtml(evidence)),
  };
}

async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomUUID()}.part`;
  try {
    const file = await open(draft, 'wx');
    try {
      await file.writeFile(text, 'utf8');
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
