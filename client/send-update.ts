import { type WorkflowHandle, WorkflowNotFoundError, WorkflowUpdateFailedError } from '@temporalio/client';
import type { ControlInput, UpdateName } from '../contracts/control.ts';
import { SluiceError } from '../contracts/error-codes.ts';

/**
 * Sends an update to a run and returns what its handler says.
 *
 * @throws SluiceError `update_refused` with the validator's words; `run_not_found` where no run is open
 */
export async function sendUpdate(
  handle: Pick<WorkflowHandle, 'executeUpdate' | 'workflowId'>,
  name: UpdateName,
  input: ControlInput & Readonly<Record<string, unknown>>,
): Promise<string> {
  try {
    return await handle.executeUpdate<string, [ControlInput]>(name, { args: [input] });
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) {
      const words = error.cause instanceof Error ? error.cause.message : error.message;
      throw new SluiceError('update_refused', { what: words, expected: '', safe: '' }, { cause: error });
    }
    if (error instanceof WorkflowNotFoundError) {
      throw new SluiceError('run_not_found', {
        what: `No run is open under ${handle.workflowId}.`,
        expected: `${name} is for a run that is open; \`sluice macro rollback RUN\` takes back one that has ended.`,
        safe: 'Nothing was changed.',
      });
    }
    throw error;
  }
}
