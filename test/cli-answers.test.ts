import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { beforeAll, expect, test, vi } from 'vitest';
import { buildProgram } from '../cli/program.ts';
import { ANSI, type CliRun, runCli } from './support/run-cli.ts';

vi.setConfig({ testTimeout: 120_000 });

let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'sluice-cli-'));
});
const sluice = (args: readonly string[], env: Record<string, string> = {}) => runCli(args, { cwd, env });

/** Every command by the words that name it. */
function commands(of: Command, before: readonly string[] = []): string[][] {
  return of.commands.flatMap((one) => {
    const words = [...before, one.name()];
    return [words, ...commands(one, words)];
  });
}
const ALL = commands(buildProgram(() => async () => undefined));

test('there is a command for each verb of the handbook', () => {
  const names = ALL.map((words) => words.join(' '));
  for (const name of 'up down init demo doctor status worker version'.split(' '))
    expect(names).toContain(name);
  for (const verb of 'list show plan start status watch approve reject hold release retry rollback cancel report'.split(
    ' ',
  )) {
    expect(names).toContain(`macro ${verb}`);
  }
  for (const verb of 'list restore prune'.split(' ')) expect(names).toContain(`backup ${verb}`);
  for (const verb of 'emit health drain enable disable conservation release rebase'.split(' '))
    expect(names).toContain(`outbox ${verb}`);
  expect(names).toContain('iu import');
});

test('every command says what it takes, without colours', async () => {
  const wanted = [[], ...ALL];
  const answers: CliRun[] = [];
  for (let at = 0; at < wanted.length; at += 4) {
    answers.push(
      ...(await Promise.all(wanted.slice(at, at + 4).map((words) => sluice([...words, '--help'])))),
    );
  }
  for (const [at, { exitCode, stdout, stderr }] of answers.entries()) {
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: sluice ${wanted[at]?.join(' ')}`));
    expect(stdout).toContain('--json');
    expect(stdout).not.toMatch(ANSI);
  }
});

test('every verb that changes something takes --dry-run --yes --actor --reason --ticket', async () => {
  const changing = [
    'macro plan',
    'macro start',
    'macro approve',
    'macro rollback',
    'backup prune',
    'outbox disable',
    'iu import',
  ];
  for (const name of changing) {
    const { stdout } = await sluice([...name.split(' '), '--help']);
    for (const flag of ['--dry-run', '--yes', '--actor', '--reason', '--ticket'])
      expect(stdout).toContain(flag);
  }
});

test('help loads nothing but the tree of commands', async () => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = async (file: string): Promise<void> => {
    if (seen.has(file)) return;
    seen.add(file);
    const text = await readFile(file, 'utf8');
    for (const [, isType, named] of text.matchAll(/^(?:import|export) (type )?[^;]*? from '(.+)';$/gm)) {
      if (isType !== undefined || named === undefined) continue;
      if (named.startsWith('.')) await visit(resolve(dirname(file), named));
      else packages.add(named);
    }
  };
  await visit(fileURLToPath(new URL('../cli/program.ts', import.meta.url)));
  expect([...packages]).toEqual(['commander']);
});

test('version names the program and the version of its output', async () => {
  const { stdout, exitCode } = await sluice(['version', '--json']);
  expect(exitCode).toBe(0);
  expect(JSON.parse(stdout)).toEqual({ sluice: '0.1.0', output: 1, node: process.versions.node });
});

test.each([
  [['nonsense'], /Unknown command 'nonsense'/],
  [['macro'], /macro/],
  [['macro', 'nonsense'], /Unknown command 'nonsense'/],
  [['version', '--nonsense'], /Unknown option '--nonsense'/],
  [['macro', 'start', 'x', '--timeout', 'soon'], /whole number and ms, s, m or h/],
  [['version', '--output', 'xml'], /text, json, jsonl/],
  [['outbox', 'disable', '--level', 'L9'], /L0, L1, L2, L3/],
  [['backup', 'restore', 'x.dump'], /--into/],
])('a call that is wrong ends with 2 and says why: %j', async (args, why) => {
  const { exitCode, stdout, stderr } = await sluice(args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  expect(stderr).toMatch(why);
});

test('with --json an error is one object on stderr', async () => {
  const wrong = await sluice(['version', '--nonsense', '--json']);
  expect(JSON.parse(wrong.stderr)).toEqual({
    error: {
      code: 'usage',
      exit: 2,
      what: expect.stringContaining('--nonsense'),
      expected: expect.any(String),
      safe: 'Nothing was changed.',
    },
  });
  const missing = await sluice(['macro', 'show', 'no-such-macro', '--output', 'json']);
  expect(missing).toMatchObject({ exitCode: 3, stdout: '' });
  expect(JSON.parse(missing.stderr).error).toMatchObject({ code: 'manifest_invalid', exit: 3 });
});

test('a fault in sluice.yaml ends with 2 and names file, line and column', async () => {
  await writeFile(join(cwd, 'broken.yaml'), 'targets:\n  main:\n    ur: { env: X }\n');
  const { exitCode, stderr } = await sluice(['macro', 'list', '--config', 'broken.yaml']);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/broken\.yaml:3:5: Unknown key `ur`/);
  const { error } = JSON.parse((await sluice(['macro', 'list', '--config', 'broken.yaml', '--json'])).stderr);
  expect(error.problems[0]).toMatchObject({ line: 3, column: 5 });
});

test('a target that is not configured ends with 7', async () => {
  expect(await sluice(['status', '--target', 'nowhere'])).toMatchObject({ exitCode: 7 });
});

test('where nothing is configured and nothing runs, the error says sluice up', async () => {
  for (const args of [
    ['macro', 'status'],
    ['outbox', 'health'],
  ]) {
    const { exitCode, stderr } = await sluice(args);
    expect(exitCode).toBe(69);
    expect(stderr).toContain('sluice up');
  }
});

test('a Temporal that does not answer ends with 69 within its deadline', async () => {
  const startedAt = Date.now();
  const { exitCode, stderr } = await sluice(['macro', 'status'], { TEMPORAL_ADDRESS: '127.0.0.1:1' });
  expect(exitCode).toBe(69);
  expect(stderr).toMatch(/Temporal at 127\.0\.0\.1:1 .*does not answer/);
  expect(Date.now() - startedAt).toBeLessThan(20_000);
});

test('a database that does not answer ends with 69, and its password is not printed', async () => {
  const env = { DATABASE_URL: 'postgresql://me:s3cret@127.0.0.1:1/x' };
  const { exitCode, stdout, stderr } = await sluice(['outbox', 'health'], env);
  expect(exitCode).toBe(69);
  expect(stdout + stderr).not.toContain('s3cret');
});
