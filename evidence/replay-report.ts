import { createHash, randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import type { ReplayPlan, ReplayProgress } from '../contracts/replay.ts';
import { renderReplayMarkdown } from './render-replay-markdown.ts';

/** A run of a plan; one that continues as new is one run. Times are ISO 8601. */
export interface ReplayRun {
  readonly runNo: number;
  readonly workflowId: string;
  /** Temporal's id of its first execution. */
  readonly runId: string;
  readonly actor: string;
  readonly reason: string;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly outcome: string | null;
  readonly because: string | null;
}

/** One execution in Temporal; a run that continues as new has several. Times are ISO 8601. */
export interface ReplayExecution {
  /** The run that it is part of; null where it was refused before it opened the plan. */
  readonly runNo: number | null;
  readonly runId: string;
  /** Temporal's word, such as `COMPLETED`. */
  readonly status: string;
  /** Events in its history. */
  readonly historyLength: number;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly link: string | null;
}

/** Something that happened to a plan. */
export interface ReplayEvent {
  readonly at: string;
  readonly what: string;
  readonly actor: string;
  readonly reason: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

/** What `fn_iu_replay_read` answers. */
export interface ReplayReading {
  readonly plan: ReplayPlan & { readonly planHash: string };
  readonly progress: ReplayProgress;
  readonly runs: readonly ReplayRun[];
  readonly story: readonly ReplayEvent[];
}

/** What `fn_iu_replay_report` answers: what became of every letter of a plan, and the proof that none got lost. */
export interface ReplayReport extends ReplayReading {
  readonly groups: readonly {
    readonly route: string | null;
    readonly fingerprint: string;
    readonly letters: number;
    readonly resolved: number;
    readonly failed: number;
    readonly skipped: number;
    readonly waiting: number;
    readonly tries: number;
  }[];
  readonly skippedBecause: readonly Readonly<Record<string, unknown>>[];
  /** Up to 1,000 letters of the plan that are still open. */
  readonly stillOpen: readonly {
    readonly id: string;
    readonly route: string | null;
    readonly fingerprint: string;
    readonly failureCode: string;
    readonly because: string | null;
  }[];
  /** Of every place with its outcome and attempt number. */
  readonly lettersSha256: string;
  readonly conservation: Readonly<Record<string, unknown>>;
  /** Only Temporal knows them: null where it did not answer, absent where nobody asked it. */
  readonly executions?: readonly ReplayExecution[] | null;
}

/** Reads a plan's evidence; a prefix of its hash is enough. The transaction is open in the schema of IU Core. */
export async function readReplayReport(client: pg.Client, planHash: string): Promise<ReplayReport> {
  const { rows } = await client.query<{ report: ReplayReport }>('select fn_iu_replay_report($1) as report', [
    planHash,
  ]);
  const [row] = rows;
  if (row === undefined) throw new Error('fn_iu_replay_report returned no row');
  return row.report;
}

export interface ReplayReportFiles {
  readonly markdown: string;
  readonly json: string;
  /** SHA-256 of the JSON file, which the Markdown names. */
  readonly sha256: string;
}

/**
 * Writes `replay-<first 16 digits of the hash>.{json,md}` into `dir`, which is created; each file appears whole or not at
 * all, and replaces an older report of the same plan.
 */
export async function writeReplayReport(report: ReplayReport, dir: string): Promise<ReplayReportFiles> {
  await mkdir(dir, { recursive: true });
  const name = `replay-${report.plan.planHash.slice(0, 16)}`;
  const text = `${JSON.stringify(report, null, 2)}\n`;
  const sha256 = createHash('sha256').update(text).digest('hex');
  const json = join(dir, `${name}.json`);
  const markdown = join(dir, `${name}.md`);
  await writeWhole(json, text);
  await writeWhole(markdown, renderReplayMarkdown(report, { name: `${name}.json`, sha256 }));
  return { markdown, json, sha256 };
}

async function writeWhole(path: string, text: string): Promise<void> {
  const draft = `${path}.${randomUUID()}.part`;
  try {
    await writeFile(draft, text, { encoding: 'utf8', flag: 'wx', flush: true });
    await rename(draft, path);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}
