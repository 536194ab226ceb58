import type { WorkflowHandle } from '@temporalio/client';
import { STATUS_QUERY } from '../contracts/control.ts';
import type { MacroStatus } from '../contracts/macro-run.ts';

/**
 * Waits for the end of a run and returns its status, however the workflow closed: Completed carries it as the
 * result, Failed as the failure's detail, Canceled is asked by query.
 *
 * @throws the workflow's failure where the run never opened (a plan that is not there, a conflict …)
 */
export async function awaitOutcome(handle: Pick<WorkflowHandle, 'result' | 'query'>): Promise<MacroStatus> {
  try {
    return (await handle.result()) as MacroStatus;
  } catch (error) {
    const cause =
      error instanceof Error ? (error.cause as { details?: readonly unknown[] } | undefined) : undefined;
    const detail = cause?.details?.[0] as MacroStatus | undefined;
    if (detail?.outcome !== undefined && detail.outcome !== null) return detail;
    const asked = await handle.query<MacroStatus>(STATUS_QUERY).catch(() => undefined);
    if (asked?.outcome !== undefined && asked.outcome !== null) return asked;
    throw error;
  }
}
