import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import protos from '@temporalio/proto';
import { bundleWorkflowCode, DefaultLogger, Worker } from '@temporalio/worker';
import { beforeAll, expect, test } from 'vitest';
import { SCENARIOS } from '../support/histories.ts';
import { workflowBundle } from '../support/workflow-bundle.ts';

const DIR = new URL('../histories/', import.meta.url);
const saved = readdirSync(DIR).filter((name) => name.endsWith('.json'));

let twin: { code: string };
beforeAll(async () => {
  const workflowsPath = fileURLToPath(new URL('../support/twin-workflows.ts', import.meta.url));
  twin = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
});

/** Replays a saved history; the workflow refuses to run under another id than its target's. */
async function replay(name: string, workflowBundle: { code: string } | { codePath: string }): Promise<void> {
  const { History } = protos.temporal.api.history.v1;
  const history = History.fromObject(JSON.parse(readFileSync(new URL(name, DIR), 'utf8')));
  const started = history.events[0]?.workflowExecutionStartedEventAttributes;
  await Worker.runReplayHistory({ workflowBundle }, history, started?.workflowId ?? '');
}

test('every scenario has a saved history', () => {
  for (const scenario of SCENARIOS) expect(saved.some((name) => name.startsWith(`${scenario}-`))).toBe(true);
});

test.each(saved)('%s replays against the workflows as they are', async (name) => {
  await replay(name, await workflowBundle());
});

test.each(saved)('%s does not replay against a twin with one activity more', async (name) => {
  await expect(replay(name, twin)).rejects.toMatchObject({ name: 'DeterminismViolationError' });
});
