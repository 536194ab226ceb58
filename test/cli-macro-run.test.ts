import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { macroWorkflowId } from '../contracts/names.ts';
import { ANSI, type CliProject, cliProject, tableSteps } from './support/run-cli.ts';
import { temporalAddress, temporalUiUrl } from './support/temporal-address.ts';
import { waitFor } from './support/wait-for.ts';

vi.setConfig({ testTimeout: 120_000 });

interface Run {
  readonly runId: string;
  readonly runNo: number;
  readonly workflowId: string;
  readonly temporalRunId: string;
  readonly link: string;
  readonly outcome: string | null;
  readonly waitsFor: string | null;
  readonly pendingApproval: { readonly planHash: string; readonly fingerprint: string } | null;
  readonly held: { readonly actor: string } | null;
  readonly steps: readonly Record<string, unknown>[];
}

let project: CliProject;
beforeAll(async () => {
  project = await cliProject();
  const { steps, files } = tableSteps('t_plain');
  await project.macro('plain', steps, files);
  await project.macro(
    'waits',
    `  - { id: approval, kind: approve, title: A second person, expires: 1h }\n${tableSteps('t_waits').steps}`,
    tableSteps('t_waits').files,
  );
  await project.macro('fails', steps.replace('install,', 'breaks,'), {
    'do.sql': 'create table t_fails (id integer);\nselect 1 / 0;\n',
    'undo.sql': 'drop table if exists t_fails;\n',
  });
  await project.macro(
    'stuck',
    `${steps}  - { id: verify, kind: verify, title: It fails, files: [verify.sql] }\n`,
    {
      'do.sql': 'create table t_stuck (id integer);\n',
      'undo.sql': 'select 1 / 0;\n',
      'verify.sql': `select 'V1' as check_id, 'fail' as verdict, 'no' as detail;\n`,
    },
  );
});
afterAll(() => project.close());

const until = (wanted: (run: Run) => boolean) =>
  waitFor(async () => {
    const run = await project.json<Run>('macro', 'status');
    return wanted(run) ? run : null;
  });
const because = ['--reason', 'a test'];

test('a macro that succeeds ends with 0: its steps on stderr, its table and its link on stdout', async () => {
  const { exitCode, stdout, stderr } = await project.sluice('macro', 'start', 'plain', '--wait', ...because);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
  expect(stdout).toMatch(/^run 1: plain on .*: succeeded/);
  expect(stdout).toContain(`${temporalUiUrl()}/namespaces/default/workflows/macro%2F${project.target}/`);
  expect(stdout).toMatch(/│ install\s+│ migrate │ done\s+│ pass/);
  expect(stderr).toMatch(/^install done pass/m);
  expect(stdout + stderr).not.toMatch(ANSI);
});

test('with --json the run is one document on stdout', async () => {
  const run = await project.json<Run>('macro', 'status', '1');
  expect(run).toMatchObject({
    macro: 'plain',
    runNo: 1,
    target: project.target,
    workflowId: macroWorkflowId(project.target),
    outcome: 'succeeded',
    waitsFor: null,
    leftToDo: [],
  });
  expect(run.steps[1]).toMatchObject({
    id: 'install',
    kind: 'migrate',
    verdict: 'pass',
    attempts: 1,
    durationMs: expect.any(Number),
  });
  expect(await project.json<Run>('macro', 'status', run.runId)).toEqual(run);
});

test('a run that has ended is taken back by an undo run, and then is rolled back: 0', async () => {
  const asked = await project.sluice('macro', 'rollback', '1', ...because);
  expect(asked).toMatchObject({ exitCode: 2, stdout: '' });
  expect(asked.stderr).toContain('--yes');
  const dry = await project.json<Record<string, unknown>>('macro', 'rollback', '1', '--dry-run');
  expect(dry).toMatchObject({ isOpen: false, runNo: 1, rolledBack: false });
  const { exitCode, stdout } = await project.sluice('macro', 'rollback', '1', '--yes', '--wait', ...because);
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/rolled back/);
  expect(stdout).toMatch(/│ install .*│ undone/);
  const unnamed = await project.sluice('macro', 'rollback', '--yes', ...because);
  expect(unnamed.exitCode).toBe(2);
  expect(unnamed.stderr).toMatch(/The latest is run 2/);
});

test('a step that fails ends with 4: rolled back', async () => {
  const { exitCode, stdout } = await project.sluice('macro', 'start', 'fails', '--wait', ...because);
  expect(exitCode).toBe(4);
  expect(stdout).toMatch(/rolled back/);
  expect(stdout).toMatch(/cause: .*division by zero/);
});

test('an undo that fails ends with 5 and says what is left to do', async () => {
  const { exitCode, stdout } = await project.sluice('macro', 'start', 'stuck', '--wait', ...because);
  expect(exitCode).toBe(5);
  expect(stdout).toMatch(/needs action/);
  expect(stdout).toMatch(/left to do: .*install.*\n\s+sluice macro rollback/);
  const sql = await project.database.connect();
  await sql.query('drop table t_stuck');
  await sql.end();
});

test('a run that waits for an approval ends the watching with 6; a second start is a conflict: 8', async () => {
  const { exitCode, stdout, stderr } = await project.sluice('macro', 'start', 'waits', '--wait', ...because);
  expect(exitCode).toBe(6);
  expect(stdout).toMatch(/waits for an approval/);
  expect(stderr).toMatch(/the run goes on. Follow it again: sluice macro watch \d+/);
  const second = await project.sluice('macro', 'start', 'plain', ...because);
  expect(second).toMatchObject({ exitCode: 8, stdout: '' });
  expect(second.stderr).toMatch(/A run is open on target/);
});

test('the time of --timeout is over: 6, and the run goes on', async () => {
  const { exitCode, stderr } = await project.sluice('macro', 'watch', '--stay', '--timeout', '500ms');
  expect(exitCode).toBe(6);
  expect(stderr).toMatch(/The time is over; the run goes on/);
});

test('Ctrl-C on a watcher ends with 130, leaves the run going, and says how to follow it again', async () => {
  const watcher = project.spawn('macro', 'watch', '--stay');
  await new Promise<void>((resolve) => {
    let said = '';
    watcher.stderr.on('data', (chunk) => {
      said += chunk;
      if (said.includes('approval waiting')) resolve();
    });
  });
  watcher.kill('SIGINT');
  const { exitCode, stderr } = await watcher;
  expect(exitCode).toBe(130);
  expect(stderr).toMatch(
    /Interrupted; the run goes on. Follow it again: sluice macro watch \d+ --target cli_/,
  );
  expect((await project.json<Run>('macro', 'status')).outcome).toBeNull();
});

test('an approval is refused from the requester, for another database, and without a yes', async () => {
  const requester = await project.sluice('macro', 'approve', '--yes', ...because);
  expect(requester.exitCode).toBe(3);
  expect(requester.stderr).toMatch(/ana asked for this run/);
  const other = await project.sluice('macro', 'approve', '--fingerprint', 'abc', '--actor', 'bo', ...because);
  expect(other.exitCode).toBe(3);
  expect(other.stderr).toMatch(/The fingerprint abc is not the one that waits/);
  const { pendingApproval } = await project.json<Run>('macro', 'status');
  const unasked = await project.sluice('macro', 'approve', '--actor', 'bo', ...because);
  expect(unasked.exitCode).toBe(2);
  expect(unasked.stderr).toContain('--yes');
  expect(unasked.stderr).toContain(pendingApproval?.fingerprint);
});

test('an approval with the fingerprint that was looked at lets the run go on', async () => {
  const { pendingApproval, runNo } = await project.json<Run>('macro', 'status');
  const approved = await project.json<Record<string, unknown>>(
    ...[
      'macro',
      'approve',
      String(runNo),
      '--fingerprint',
      pendingApproval?.fingerprint ?? '',
      '--actor',
      'bo',
      ...because,
    ],
  );
  expect(approved).toMatchObject({
    runNo,
    actor: 'bo',
    planHash: pendingApproval?.planHash,
    answer: 'approved step approval',
  });
  expect((await until((run) => run.outcome !== null)).outcome).toBe('succeeded');
  expect((await project.sluice('macro', 'approve', '--yes', ...because)).exitCode).toBe(7);
  expect(
    (await project.sluice('macro', 'rollback', String(runNo), '--yes', '--wait', ...because)).exitCode,
  ).toBe(0);
});

test('a run is held, released, and rolled back while it is open', async () => {
  await project.json('macro', 'start', 'waits', ...because);
  expect(await project.sluice('macro', 'hold', ...because)).toMatchObject({ exitCode: 0 });
  expect((await project.json<Run>('macro', 'status')).held).toMatchObject({ actor: 'ana' });
  const again = await project.sluice('macro', 'hold', ...because);
  expect(again.exitCode).toBe(3);
  expect(again.stderr).toMatch(/held already/);
  expect(await project.sluice('macro', 'release', ...because)).toMatchObject({ exitCode: 0 });
  expect((await project.sluice('macro', 'retry', ...because)).exitCode).toBe(3);
  const back = await project.json<Run>('macro', 'rollback', '--yes', '--wait', ...because);
  expect(back.outcome).toBe('rolled_back');
});

test('a rejected run, and a cancelled one, roll back: watching ends with 4', async () => {
  await project.json('macro', 'start', 'waits', ...because);
  await until((run) => run.waitsFor === 'approval');
  expect(await project.sluice('macro', 'reject', '--actor', 'bo', '--yes', ...because)).toMatchObject({
    exitCode: 0,
  });
  expect((await project.sluice('macro', 'watch')).exitCode).toBe(4);

  await project.json('macro', 'start', 'waits', ...because);
  const cancelled = await project.sluice('macro', 'cancel', '--yes', '--wait', ...because);
  expect(cancelled.exitCode).toBe(0);
  expect(cancelled.stdout).toMatch(/rolled back\n/);
});

test('a run that was terminated needs action: 5, and is taken back from its receipts', async () => {
  await project.json('macro', 'start', 'waits', ...because);
  const { runNo } = await until((run) => run.waitsFor === 'approval');
  const connection = await Connection.connect({ address: temporalAddress() });
  await new Client({ connection }).workflow.getHandle(macroWorkflowId(project.target)).terminate('a test');
  await connection.close();
  const watched = await project.sluice('macro', 'watch', String(runNo));
  expect(watched.exitCode).toBe(5);
  expect(watched.stdout).toMatch(/needs action/);
  expect(watched.stdout).toContain(`sluice macro rollback ${runNo}`);
  expect(
    (await project.sluice('macro', 'rollback', String(runNo), '--yes', '--wait', ...because)).exitCode,
  ).toBe(0);
});

test('a run that the target does not know ends with 7', async () => {
  for (const verb of ['status', 'watch', 'report']) {
    const { exitCode, stderr } = await project.sluice('macro', verb, '4711');
    expect({ verb, exitCode }).toEqual({ verb, exitCode: 7 });
    expect(stderr).toContain('4711');
  }
});
