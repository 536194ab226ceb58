import type { WorkflowHandle } from '@temporalio/client';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import type { FilePair, ScriptRef } from '../../contracts/plan.ts';
import type { TestEngine } from './engine.ts';
import { waitFor } from './wait-for.ts';

type Handle = Pick<WorkflowHandle, 'query' | 'executeUpdate'>;

/** A file that creates a table, with its undo. */
export function table(engine: TestEngine, name: string): FilePair {
  return {
    do: engine.script(`create table ${name} (id integer)`, `do/${name}.sql`),
    undo: engine.script(`drop table ${name}`, `undo/${name}.sql`),
  };
}

/** A script that reports one check with this verdict. */
export function reports(engine: TestEngine, verdict: string, id = 'C1'): ScriptRef {
  return engine.script(`select '${id}' as check_id, '${verdict}' as verdict, 'a test' as detail`);
}

/** Tables of schema `public`, in order. */
export async function tables(engine: TestEngine): Promise<string[]> {
  const found = await engine.sql.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by name`,
  );
  return found.rows.map((row) => row.name);
}

/** Receipts of a run as `step/part direction state`, in order; `part` only where it names a file. */
export async function receipts(engine: TestEngine, runId: string | null): Promise<string[]> {
  const found = await engine.sql.query<{ line: string }>(
    `select step_id || case when part = '' then '' else '/' || part end || ' ' || direction || ' ' || state as line
     from sluice.step_receipt where run_id = $1`,
    [runId],
  );
  return found.rows.map((row) => row.line).sort();
}

/** Failed attempts of a run as `step direction code`, in order. */
export async function failures(engine: TestEngine, runId: string | null): Promise<string[]> {
  const found = await engine.sql.query<{ line: string }>(
    `select step_id || ' ' || direction || ' ' || code as line from sluice.step_failure where run_id = $1 order by failure_no`,
    [runId],
  );
  return found.rows.map((row) => row.line);
}

/** Actions of people on a run, in order. */
export async function actions(engine: TestEngine, runId: string | null): Promise<string[]> {
  const found = await engine.sql.query<{ line: string }>(
    `select actor || ' ' || action as line from sluice.control_action where run_id = $1 order by action_no`,
    [runId],
  );
  return found.rows.map((row) => row.line);
}

export function statusOf(handle: Handle): Promise<MacroStatus> {
  return handle.query<MacroStatus>('status');
}

/** Waits until the run's status is as asked. */
export function untilStatus(
  handle: Handle,
  is: (status: MacroStatus) => boolean,
  withinMs?: number,
): Promise<MacroStatus> {
  return waitFor(async () => {
    const status = await statusOf(handle);
    return is(status) ? status : null;
  }, withinMs);
}

/** Waits until a step is in this state. */
export function untilStep(
  handle: Handle,
  stepId: string,
  state: string,
  withinMs?: number,
): Promise<MacroStatus> {
  return untilStatus(
    handle,
    ({ steps }) => steps.some((step) => step.id === stepId && step.state === state),
    withinMs,
  );
}

export function send(handle: Handle, name: string, input: object = {}): Promise<string> {
  return handle.executeUpdate<string, [object]>(name, {
    args: [{ actor: 'bo', reason: 'a test', ...input }],
  });
}

/** The words with which an update is refused. */
export async function refusal(handle: Handle, name: string, input: object = {}): Promise<string> {
  try {
    return `accepted: ${await send(handle, name, input)}`;
  } catch (error) {
    const { cause, message } = error as Error;
    return cause instanceof Error ? cause.message : message;
  }
}

/** Waits until a session of the engine executes a statement that contains this text; returns its pid. */
export function untilExecutes(engine: TestEngine, text: string, withinMs?: number): Promise<number> {
  return waitFor(async () => {
    const found = await engine.sql.query<{ pid: number }>(
      `select pid from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and state = 'active' and query like $1`,
      [`%${text}%`],
    );
    return found.rows[0]?.pid ?? null;
  }, withinMs);
}

/** Waits until an approval is pending, and gives what an approval has to name. */
export async function pending(handle: Handle): Promise<{ planHash: string; fingerprint: string }> {
  const status = await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null);
  return { planHash: status.planHash ?? '', fingerprint: status.pendingApproval?.fingerprint ?? '' };
}
