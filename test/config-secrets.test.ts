import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { TargetConfig } from '../config/config.ts';
import { loadConfig } from '../config/load-config.ts';
import { resolveSecret } from '../config/resolve-secret.ts';
import { resolveRestoreUrl, resolveTargetUrl } from '../config/resolve-target-url.ts';
import { rejection } from './fixtures/planning/rejection.ts';
import { writeFiles } from './fixtures/planning/write-macro.ts';

const command = (script: string) =>
  ({ kind: 'command', argv: [process.execPath, '-e', script], cwd: process.cwd() }) as const;

describe('resolveSecret', () => {
  test('reads a variable, a file or what a command prints, without the line break at the end', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'sluice-secret-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await writeFiles(folder, { secret: ' s3cret \n' });
    expect(await resolveSecret({ kind: 'env', name: 'A' }, { A: 's3cret' })).toBe('s3cret');
    expect(await resolveSecret({ kind: 'file', path: path.join(folder, 'secret') })).toBe(' s3cret ');
    expect(await resolveSecret(command('console.log("s3cret")'))).toBe('s3cret');
  });

  test.each([
    ['a variable that is not set', { kind: 'env', name: 'A' } as const, /the variable A is not set/],
    [
      'a file that is not there',
      { kind: 'file', path: '/nowhere/x' } as const,
      /the file \/nowhere\/x cannot be read \(ENOENT\)/,
    ],
    [
      'a command that fails',
      command('console.error("hunter2"); console.log("hunter2"); process.exit(3)'),
      /ended with exit code 3/,
    ],
    ['a command that prints nothing', command(''), /is empty/],
    [
      'a command that is not there',
      { kind: 'command', argv: ['/nowhere/x'], cwd: '/' } as const,
      /cannot be run \(ENOENT\)/,
    ],
  ])('says why it cannot: %s', async (_, ref, why) => {
    const error = await rejection(resolveSecret(ref, {}));
    expect(error.code).toBe('configuration_invalid');
    expect(error.message).toMatch(why);
    expect(`${error.message}${JSON.stringify(error)}${String(error.cause)}`).not.toContain('hunter2');
  });
});

describe('the URL of a target', () => {
  const resolveLocalUrl = async () => 'postgresql://embedded';
  const target = async (env: NodeJS.ProcessEnv): Promise<TargetConfig> => {
    const { local } = (await loadConfig({ cwd: tmpdir(), env: { HOME: '/nowhere', ...env } })).targets;
    if (local === undefined) throw new Error('no local target');
    return local;
  };

  test('is asked of the embedded server where nothing is configured', async () => {
    expect(await resolveTargetUrl(await target({}), { resolveLocalUrl })).toBe('postgresql://embedded');
    expect(await resolveRestoreUrl(await target({}), { resolveLocalUrl })).toBeNull();
  });

  test('is read at the moment of use', async () => {
    const local = await target({ DATABASE_URL: 'postgresql://old' });
    const url = await resolveTargetUrl(local, {
      resolveLocalUrl,
      env: { DATABASE_URL: 'postgresql://u:p@new/d' },
    });
    expect(url).toBe('postgresql://u:p@new/d');
  });

  test('must be one of PostgreSQL, and is not repeated where it is not', async () => {
    const env = { DATABASE_URL: 'mysql://u:hunter2@h/d' };
    const error = await rejection(resolveTargetUrl(await target(env), { resolveLocalUrl, env }));
    expect(error.text.what).toBe('What the variable DATABASE_URL gives is not a PostgreSQL URL.');
    expect(JSON.stringify(error)).not.toContain('hunter2');
  });
});
