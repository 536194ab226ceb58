import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { macroWorkflowId } from '../contracts/names.ts';
import { type CliProject, cliProject, tableSteps } from './support/run-cli.ts';
import { temporalAddress } from './support/temporal-address.ts';

vi.setConfig({ testTimeout: 120_000 });

interface Run {
  readonly runNo: number;
  readonly link: string;
}

const because = ['--reason', 'a test'];
let project: CliProject;
beforeAll(async () => {
  project = await cliProject();
  const { steps, files } = tableSteps('t_plain');
  await project.macro('plain', steps, files);
  await project.macro(
    'waits',
    `  - { id: approval, kind: approve, title: A second person, expires: 1h }\n${steps}`,
    files,
  );
});
afterAll(() => project.close());

test('a broken manifest ends with 3 and names file, line and column; nothing is stored', async () => {
  await project.macro('broken', '  - { id: a, kind: chek, title: Wrong }\n');
  const { exitCode, stdout, stderr } = await project.sluice('macro', 'plan', 'broken');
  expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
  expect(stderr).toMatch(/macros\/broken\/macro\.yaml:4:20: .*`chek`/);
  await project.macro('broken', tableSteps('x').steps, {
    'do.sql': 'create tabel x ();\n',
    'undo.sql': 'drop table x;\n',
  });
  const syntax = await project.sluice('macro', 'start', 'broken', ...because, '--json');
  expect(syntax.exitCode).toBe(3);
  expect(JSON.parse(syntax.stderr).error).toMatchObject({ code: 'script_syntax', exit: 3 });
  expect(syntax.stderr).toMatch(/do\.sql:1:8/);
});

test('a plan is stored once, can be started by its hash, and is refused once a file has changed', async () => {
  const first = await project.json<{ planHash: string; stored: string; steps: unknown }>(
    'macro',
    'plan',
    'waits',
    '--set',
    'approval.expires=2h',
  );
  expect(first).toMatchObject({
    stored: 'new',
    steps: [{ id: 'approval' }, { id: 'backup' }, { id: 'install' }],
  });
  const again = await project.json<{ planHash: string; stored: string }>(
    'macro',
    'plan',
    'waits',
    '--set',
    'approval.expires=2h',
  );
  expect(again).toMatchObject({ planHash: first.planHash, stored: 'already_there' });
  const started = await project.json<Run & { planHash: string }>(
    'macro',
    'start',
    '--plan',
    first.planHash,
    ...because,
  );
  expect(started).toMatchObject({ planHash: first.planHash, runNo: expect.any(Number) });
  expect((await project.sluice('macro', 'rollback', '--yes', '--wait', ...because)).exitCode).toBe(0);

  const file = join(project.dir, 'macros', 'waits', 'do.sql');
  const text = await readFile(file, 'utf8');
  await writeFile(file, `${text}-- changed\n`);
  const stale = await project.sluice('macro', 'start', '--plan', first.planHash, ...because);
  await writeFile(file, text);
  expect(stale.exitCode).toBe(3);
  expect(stale.stderr).toMatch(/do\.sql changed/);
  expect((await project.sluice('macro', 'start', '--plan', 'f'.repeat(64), ...because)).exitCode).toBe(7);
});

test('a dry run stores nothing and starts nothing', async () => {
  const before = await project.json<unknown[]>('macro', 'list', '--runs');
  const planned = await project
    .json<Record<string, unknown>>('macro', 'plan', 'plain', '--set', 'x.y=z', '--dry-run')
    .catch((error: Error) => error);
  expect(planned).toBeInstanceOf(Error);
  expect(await project.json('macro', 'plan', 'plain', '--dry-run')).toMatchObject({ stored: 'not_stored' });
  expect(await project.json('macro', 'start', 'plain', '--dry-run')).toMatchObject({ started: false });
  expect(await project.json<unknown[]>('macro', 'list', '--runs')).toEqual(before);
});

test('a start without a reason is refused, naming the flag', async () => {
  const { exitCode, stderr } = await project.sluice('macro', 'start', 'plain');
  expect(exitCode).toBe(2);
  expect(stderr).toContain('--reason');
});

test('macros and runs are listed, each run with its link', async () => {
  const macros = await project.json<{ name: string }[]>('macro', 'list');
  expect(macros.map(({ name }) => name)).toEqual(expect.arrayContaining(['plain', 'iu-core-base']));
  const { stdout } = await project.sluice('macro', 'list', '--runs');
  const runs = await project.json<Run[]>('macro', 'list', '--runs');
  for (const run of runs) expect(stdout).toContain(run.link);
  const lines = (await project.sluice('macro', 'list', '--runs', '--output', 'jsonl')).stdout.split('\n');
  expect(lines.map((line) => JSON.parse(line).runNo)).toEqual(runs.map(({ runNo }) => runNo));
});

test('a report is written as Markdown, JSON and HTML', async () => {
  const report = await project.json<{ markdown: string; json: string; html: string }>(
    'macro',
    'report',
    '1',
    '--dir',
    'evidence',
  );
  for (const file of [report.markdown, report.json, report.html]) {
    expect(file.startsWith(join(project.dir, 'evidence'))).toBe(true);
    expect(await readFile(file, 'utf8')).toContain('install');
  }
});

test('a target without the engine’s tables is refused until init has run', async () => {
  const bare = await cliProject({ worker: false });
  const sql = await bare.database.connect();
  await sql.query('drop schema sluice cascade');
  await sql.end();
  await bare.macro('plain', tableSteps('t').steps, tableSteps('t').files);
  const refused = await bare.sluice('macro', 'plan', 'plain');
  expect(refused.exitCode).toBe(3);
  expect(refused.stderr).toContain('sluice init');
  const { engine } = await bare.json<{ engine: { before: number; after: number } }>('init');
  expect(engine.before).toBe(0);
  expect(await bare.json('init')).toMatchObject({ engine: { before: engine.after, after: engine.after } });
  expect((await bare.sluice('macro', 'plan', 'plain')).exitCode).toBe(0);
  const unheard = await bare.sluice('macro', 'start', 'plain', ...because);
  expect(unheard.stderr).toMatch(/no worker has taken the run yet/);
  const connection = await Connection.connect({ address: temporalAddress() });
  await new Client({ connection }).workflow.getHandle(macroWorkflowId(bare.target)).terminate('a test');
  await connection.close();
  await bare.close();
});
