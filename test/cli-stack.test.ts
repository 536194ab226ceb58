import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { runCli, spawnCli } from './support/run-cli.ts';
import { temporalProgram } from './support/temporal-address.ts';

vi.setConfig({ testTimeout: 120_000 });

const cwd = await mkdtemp(join(tmpdir(), 'sluice-stack-'));
const env = () => ({ SLUICE_TEMPORAL_CLI: temporalProgram(), SLUICE_ACTOR: 'ana' });
const sluice = (...args: string[]) => runCli(args, { cwd, env: env() });
const spawn = (...args: string[]) => spawnCli(args, { cwd, env: env() });
const said = (process: ReturnType<typeof spawn>, word: string) =>
  new Promise<void>((resolve, reject) => {
    let text = '';
    process.stderr.on('data', (chunk) => {
      text += chunk;
      if (text.includes(word)) resolve();
    });
    void process.then(({ exitCode, stderr }) => reject(new Error(`ended with ${exitCode}: ${stderr}`)));
  });

afterAll(() => sluice('down'), 60_000);

test('up starts the servers and a worker, a macro runs on them, Ctrl-C stops what was started', async () => {
  const up = spawn('up', '--json');
  await said(up, 'Ctrl-C stops it');
  const status = JSON.parse((await sluice('status', '--json')).stdout);
  expect(status).toMatchObject({
    temporal: { problem: null },
    targets: [{ target: 'local', problem: null }],
  });
  const run = await sluice('macro', 'start', 'iu-core-base', '--wait', '--reason', 'a test', '--json');
  expect(run.exitCode).toBe(6);
  expect(JSON.parse(run.stdout)).toMatchObject({
    waitsFor: 'approval',
    link: expect.stringContaining(status.temporal.uiUrl),
  });
  expect((await sluice('macro', 'rollback', '--yes', '--wait', '--reason', 'a test')).exitCode).toBe(0);

  up.kill('SIGINT');
  const { exitCode, stdout } = await up;
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({
    worker: true,
    temporal: { started: true },
    postgres: { started: true },
  });
  expect(stdout).not.toMatch(/postgres:[^@/"]+@/);
  expect((await sluice('down')).stdout).toMatch(/nothing ran/);
  expect((await sluice('status')).exitCode).toBe(69);
});

test('servers that were left running are found again with their data; a worker ends at SIGTERM; down stops them', async () => {
  expect(await sluice('up', '--detach')).toMatchObject({ exitCode: 0 });
  expect((await sluice('macro', 'list', '--runs')).stdout).toContain('iu-core-base');
  const worker = spawn('worker');
  await said(worker, 'worker is ready');
  worker.kill('SIGTERM');
  expect((await worker).exitCode).toBe(0);
  expect((await sluice('doctor')).exitCode).toBe(0);
  expect(JSON.parse((await sluice('down', '--json')).stdout).stopped).toEqual(['temporal', 'postgres']);
});
