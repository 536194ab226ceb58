import { join } from 'node:path';
import type { BrowserContext, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { uiLink } from '../../client/ui-link.ts';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { macroWorkflowId } from '../../contracts/names.ts';
import { openBrowser } from '../support/browser.ts';
import { approve, change, noBackup, type TestEngine, testEngine } from '../support/engine.ts';
import { temporalUiUrl } from '../support/temporal-address.ts';
import { waitFor } from '../support/wait-for.ts';

let engine: TestEngine;
let browser: BrowserContext;
beforeAll(async () => {
  [engine, browser] = await Promise.all([testEngine(), openBrowser()]);
});
afterAll(async () => {
  await browser.close();
  await engine.close();
});

afterEach(async () => {
  const handle = engine.client.workflow.getHandle(macroWorkflowId(engine.target));
  await handle.cancel().catch(() => undefined);
  await handle.result().catch(() => undefined);
});

async function waitingRun() {
  const planHash = await engine.plan([
    noBackup(),
    change('one', [
      { do: engine.script('create table t_one (id integer)'), undo: engine.script('drop table t_one') },
    ]),
    approve(),
  ]);
  const handle = await engine.start(planHash);
  const pending = await waitFor(async () => (await handle.query<MacroStatus>('status')).pendingApproval);
  return {
    handle,
    pending,
    planHash,
    url: uiLink(temporalUiUrl(), 'default', handle.workflowId, handle.firstExecutionRunId),
  };
}

/** Opens a tab of the run's page, and waits for its heading. */
async function open(url: string, tab = 'history'): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(url.replace(/history$/, tab));
  await page.getByText(engine.target).first().waitFor();
  return page;
}

async function sendUpdate(page: Page, name: string, input: object): Promise<void> {
  await page.getByRole('button', { name: 'More Actions' }).click();
  await page.getByRole('menuitem', { name: 'Send an Update' }).click();
  const dialog = page.locator('dialog[open]');
  // The list shows its choice in a disabled input, and opens when its button is pressed.
  await dialog.locator('button:has(#update-select)').click();
  await dialog.getByRole('option', { name }).first().click();
  await dialog.locator('.cm-content[contenteditable=true]').last().fill(JSON.stringify(input));
  const submit = dialog.getByRole('button', { name: 'Submit' });
  let isSent = false;
  const sent = page
    .waitForRequest((request) => request.url().includes(`/update/${name}`))
    .then(() => {
      isSent = true;
    });
  // A press that leaves the editor lays its JSON out anew and is lost, so it may take a second one.
  while (!isSent) {
    await submit.click({ timeout: 2_000 });
    await Promise.race([sent, page.waitForTimeout(1_000)]);
  }
}

/** Keeps the picture, so that a person can look at what was asserted. */
async function keep(page: Page, name: string): Promise<void> {
  if (process.env.SLUICE_SCREENSHOTS === undefined) return;
  await page.screenshot({ path: join(process.env.SLUICE_SCREENSHOTS, `${name}.png`), fullPage: true });
}

test('each step shows by its summary, and the pending approval with the JSON to paste', async () => {
  const { url, pending, planHash } = await waitingRun();
  const history = await open(url);
  await history.getByText('migrate: a step of a test').first().waitFor();
  await history.getByText('backup: a step of a test').first().waitFor();
  await keep(history, 'history');
  const metadata = await open(url, 'user-metadata');
  // The UI renders the Markdown of current details in a frame of its own.
  const details = metadata.frameLocator('iframe').last();
  await details.getByText('Waits for an approval').waitFor();
  const words = (await details.locator('body').allInnerTexts()).join('\n');
  for (const word of [
    'test-macro',
    'no backup: a test',
    'waits for a second person',
    planHash,
    pending.fingerprint,
  ]) {
    expect(words).toContain(word);
  }
  expect(await details.locator('table tr').count()).toBeGreaterThanOrEqual(4);
  await keep(metadata, 'user-metadata');
  const attributes = await open(url, 'search-attributes');
  const said = async () => (await attributes.locator('body').allInnerTexts()).join(' ');
  await expect.poll(said).toContain('SluiceMacro');
  for (const word of ['SluiceTarget', 'SluicePhase', 'test-macro', 'approve', engine.target]) {
    expect(await said()).toContain(word);
  }
  await keep(attributes, 'search-attributes');
}, 120_000);

test('an approval with the wrong plan hash shows what the validator says, and the right one is accepted', async () => {
  const { url, handle, pending, planHash } = await waitingRun();
  const page = await open(url);
  const approval = { actor: 'bo', reason: 'reviewed', planHash, fingerprint: pending.fingerprint };
  await sendUpdate(page, 'approve', { ...approval, planHash: 'beef' });
  await page
    .getByText(/The plan hash beef is not the plan that runs/)
    .first()
    .waitFor();
  await keep(page, 'refused-approval');
  const again = await open(url);
  await sendUpdate(again, 'approve', approval);
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('succeeded');
  await engine.outcome(await engine.undo(status.runId ?? ''));
}, 120_000);

test('Cancel pressed in the UI rolls the run back', async () => {
  const { url, handle } = await waitingRun();
  const tables = () => engine.sql.query(`select from pg_class where relname = 't_one'`);
  expect((await tables()).rowCount).toBe(1);
  const page = await open(url);
  await page.getByRole('button', { name: 'Request Cancellation' }).click();
  await page.getByRole('button', { name: 'Confirm' }).click();
  const status = await engine.outcome(handle);
  expect(status.outcome).toBe('rolled_back');
  expect((await tables()).rowCount).toBe(0);
  await page.reload();
  await page.getByText('undo: a step of a test').first().waitFor();
  await keep(page, 'cancelled');
  const recorded = await engine.sql.query('select action from sluice.control_action where run_id = $1', [
    status.runId,
  ]);
  expect(recorded.rows).toEqual([{ action: 'cancel' }]);
}, 120_000);
