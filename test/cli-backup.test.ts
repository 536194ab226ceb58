import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type CliProject, cliProject, tableSteps } from './support/run-cli.ts';

vi.setConfig({ testTimeout: 120_000 });

interface Listed {
  readonly file: string;
  readonly state: string;
  readonly database: string;
}

let project: CliProject;
beforeAll(async () => {
  project = await cliProject();
  const { steps, files } = tableSteps('t_saved');
  await project.macro(
    'saved',
    steps.replace(/ {2}- \{ id: backup.*\n/, '  - { id: backup, kind: backup, title: Backup }\n'),
    files,
  );
  const { exitCode, stderr } = await project.sluice(
    'macro',
    'start',
    'saved',
    '--wait',
    '--reason',
    'a test',
  );
  if (exitCode !== 0) throw new Error(stderr);
}, 60_000);
afterAll(() => project.close());

const list = () => project.json<Listed[]>('backup', 'list');

test('a backup that a macro took is listed as proven', async () => {
  expect(await list()).toMatchObject([{ state: 'proven', database: project.database.name }]);
  expect((await project.sluice('backup', 'list')).stdout).toContain('proven');
});

test('it is restored into a new database, never into one that exists', async () => {
  const [backup] = await list();
  const file = backup?.file ?? '';
  const name = `${project.database.name}_copy`;
  const dry = await project.json<Record<string, unknown>>(
    'backup',
    'restore',
    file,
    '--into',
    name,
    '--dry-run',
  );
  expect(dry).toMatchObject({ restored: false, loses: expect.stringContaining('Everything committed') });
  const restored = await project.json<Record<string, unknown>>('backup', 'restore', file, '--into', name);
  expect(restored).toMatchObject({
    database: name,
    restored: true,
    loses: expect.stringContaining('Everything committed'),
  });
  const again = await project.sluice('backup', 'restore', file, '--into', name);
  expect(again).toMatchObject({ exitCode: 8, stdout: '' });
  const sql = await project.database.connect();
  await sql.query(`drop database ${name}`);
  await sql.end();
  expect((await project.sluice('backup', 'restore', 'no-such.dump', '--into', name)).exitCode).toBe(3);
});

test('pruning removes nothing without a yes, and never the newest good one', async () => {
  expect(await project.json('backup', 'prune', '--keep', '0', '--dry-run')).toMatchObject({
    removed: [],
    kept: [{}],
  });
  expect(await project.json('backup', 'prune', '--keep', '0')).toMatchObject({ removed: [] });
  expect(await list()).toHaveLength(1);
});
