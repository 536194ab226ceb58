import { z } from 'zod';
import { OUTCOMES } from '../contracts/outcome.ts';
import { VERDICTS } from '../contracts/verdict.ts';
import type { ChainRow } from './evidence-document.ts';

/** Shapes of the rows as the chain's payloads hold them; columns that a later engine adds are kept out. */
const text = z.string();
const optional = z
  .string()
  .nullish()
  .transform((value) => value ?? null);
const time = z.string().transform((value) => new Date(value).toISOString());
const verdict = z.enum(VERDICTS);
const direction = z.enum(['do', 'undo']);
const checks = z
  .array(z.object({ checkId: text, verdict, detail: text.nullish().transform((value) => value ?? '') }))
  .nullish()
  .transform((value) => value ?? []);
const leftToDo = z
  .array(z.object({ stepId: text.catch(''), what: text.catch(''), how: text.catch('') }))
  .nullish()
  .transform((value) => value ?? []);

const ROWS = {
  run: z.object({
    run_id: text,
    run_no: z.number(),
    kind: z.enum(['forward', 'undo']),
    macro: text,
    target: text,
    plan_hash: text,
    undoes_run_id: optional,
    workflow_id: text,
    temporal_run_id: text,
    temporal_namespace: text,
    temporal_address: text,
    temporal_cluster_id: text,
    actor: text,
    temporal_identity: optional,
    reason: text,
    ticket: optional,
    fingerprint: text,
    started_at: time,
    finished_at: time.nullish().transform((value) => value ?? null),
    outcome: z
      .enum(OUTCOMES)
      .nullish()
      .transform((value) => value ?? null),
    fingerprint_at_end: optional,
    cause: optional,
    left_to_do: leftToDo,
  }),
  step_receipt: z.object({
    run_id: text,
    step_id: text,
    part: text,
    direction,
    state: z.enum(['done', 'already_applied', 'voided', 'undone', 'refused']),
    kind: text,
    verdict,
    detail: text,
    checks,
    facts: z.record(text, z.unknown()).catch({}),
    script_sha256: optional,
    attempt: z.number(),
    by_run_id: text,
    started_at: time,
    finished_at: time,
  }),
  step_intent: z.object({ run_id: text, step_id: text, part: text, declared_at: time }),
  step_failure: z.object({
    run_id: text,
    step_id: text,
    direction,
    attempt: z.number(),
    code: text,
    message: text,
    checks,
    by_run_id: text,
    failed_at: time,
  }),
  control_action: z.object({
    run_id: text,
    step_id: optional,
    action: text,
    actor: text,
    temporal_identity: optional,
    reason: text,
    ticket: optional,
    plan_hash: optional,
    fingerprint: optional,
    update_id: optional,
    acted_at: time,
  }),
  observation: z.object({
    run_id: text,
    step_id: text,
    metric: text,
    sample_no: z.number(),
    // numeric knows NaN and Infinity, which JSON holds as text
    value: z.union([z.number(), z.string(), z.null()]).transform((value) => {
      const number = value === null ? Number.NaN : Number(value);
      return Number.isFinite(number) ? number : null;
    }),
    verdict,
    sampled_at: time,
  }),
};

export type RunRow = z.infer<typeof ROWS.run>;
export type ReceiptRow = z.infer<typeof ROWS.step_receipt>;
export type IntentRow = z.infer<typeof ROWS.step_intent>;
export type FailureRow = z.infer<typeof ROWS.step_failure>;
export type ControlRow = z.infer<typeof ROWS.control_action>;
export type ObservationRow = z.infer<typeof ROWS.observation>;

/** The rows of one run, read from its chain; the run's own row as it stood last. */
export interface RunRecord {
  readonly run: RunRow;
  readonly receipts: readonly ReceiptRow[];
  readonly intents: readonly IntentRow[];
  readonly failures: readonly FailureRow[];
  readonly controls: readonly ControlRow[];
  readonly observations: readonly ObservationRow[];
}

/**
 * Reads the payloads of a chain.
 *
 * @throws Error naming the row, where a payload is no row of its table or belongs to another run
 */
export function readRecord(runId: string, chain: readonly ChainRow[]): RunRecord {
  const read = <K extends keyof typeof ROWS>(source: K): z.infer<(typeof ROWS)[K]>[] =>
    chain
      .filter((row) => row.source === source)
      .map((row) => {
        const found = ROWS[source].safeParse(parseJson(row.payload));
        if (!found.success) {
          const issue = found.error.issues[0];
          throw new Error(
            `Row ${row.seq} is no row of ${source}: ${issue?.path.join('.')} ${issue?.message}`,
          );
        }
        if (found.data.run_id !== runId)
          throw new Error(`Row ${row.seq} belongs to run ${found.data.run_id}.`);
        return found.data as z.infer<(typeof ROWS)[K]>;
      });
  const run = read('run').at(-1);
  if (run === undefined) throw new Error('The chain holds no row of the run itself.');
  const strange = chain.find((row) => !Object.hasOwn(ROWS, row.source));
  if (strange !== undefined) throw new Error(`Row ${strange.seq} names the unknown table ${strange.source}.`);
  return {
    run,
    receipts: read('step_receipt'),
    intents: read('step_intent'),
    failures: read('step_failure'),
    controls: read('control_action'),
    observations: read('observation'),
  };
}

function parseJson(payload: string): unknown {
  try {
    return JSON.parse(payload);
  } catch {
    return undefined;
  }
}
