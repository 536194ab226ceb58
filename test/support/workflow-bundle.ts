import { existsSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withLock } from '../../local/with-lock.ts';
import { harness } from './harness.ts';

const workflowsPath = fileURLToPath(new URL('../../workflows/index.ts', import.meta.url));

/**
 * The workflow code for `Worker.create({ workflowBundle })`, bundled once per run by the first who asks.
 */
export async function workflowBundle(): Promise<{ codePath: string }> {
  const { dir } = harness();
  const codePath = join(dir, 'workflows.js');
  await withLock(`${codePath}.lock`, { waitingFor: 'the workflow bundle' }, async () => {
    if (existsSync(codePath)) return;
    const { bundleWorkflowCode } = await import('@temporalio/worker');
    const { code } = await bundleWorkflowCode({ workflowsPath });
    writeFileSync(`${codePath}.new`, code);
    renameSync(`${codePath}.new`, codePath);
  });
  return { codePath };
}
