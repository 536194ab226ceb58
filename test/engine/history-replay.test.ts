import { readdirSync, readFileSync } from 'node:fs';
import protos from '@temporalio/proto';
import { Worker } from '@temporalio/worker';
import { expect, test } from 'vitest';
import { SCENARIOS } from '../support/histories.ts';
import { workflowBundle } from '../support/workflow-bundle.ts';

const DIR = new URL('../histories/', import.meta.url);
const saved = readdirSync(DIR).filter((name) => name.endsWith('.json'));
const historyOf = (name: string) =>
  protos.temporal.api.history.v1.History.fromObject(JSON.parse(readFileSync(new URL(name, DIR), 'utf8')));

test('every scenario has a saved history', () => {
  for (const scenario of SCENARIOS) expect(saved.some((name) => name.startsWith(`${scenario}-`))).toBe(true);
});

test.each(saved)('%s replays against the workflows as they are', async (name) => {
  await Worker.runReplayHistory({ workflowBundle: await workflowBundle() }, historyOf(name));
});

test.each(saved)('%s does not replay against a twin with one activity more', async (name) => {
  const { codePath } = await workflowBundle();
  const code = readFileSync(codePath, 'utf8');
  const twin = code.replace(/(async function (?:macro|undoMacro)\(input\) \{)/g, '$1 await activities.readFingerprint({ target: "twin" });');
  expect(twin).not.toBe(code);
  await expect(Worker.runReplayHistory({ workflowBundle: { code: twin } }, historyOf(name))).rejects.toMatchObject({
    name: 'DeterminismViolationError',
  });
});
