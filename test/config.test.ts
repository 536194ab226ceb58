import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { NO_DELIVERY } from '../config/delivery-config.ts';
import { findTarget } from '../config/find-target.ts';
import type { ConfigFlags } from '../config/flag-settings.ts';
import { loadConfig } from '../config/load-config.ts';
import { problemsOf, rejection } from './fixtures/planning/rejection.ts';
import { writeFiles } from './fixtures/planning/write-macro.ts';

let cwd = '';
beforeEach(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'sluice-config-'));
  onTestFinished(() => rm(cwd, { recursive: true, force: true }));
});

/** Loads the configuration of a folder with these files, whose `home` is the user's. */
async function load(
  files: Record<string, string>,
  env: Record<string, string> = {},
  flags: ConfigFlags = {},
) {
  await writeFiles(cwd, files);
  return loadConfig({ cwd, env: { HOME: path.join(cwd, 'home'), ...env }, flags });
}

describe('without any configuration', () => {
  test('there is one target, the embedded PostgreSQL', async () => {
    const config = await load({});
    expect(config).toMatchObject({
      defaultTarget: 'local',
      temporal: { address: null, namespace: 'default', uiUrl: null },
      macroDirs: [],
      backup: { dir: path.join(cwd, '.sluice/backups'), keep: 10 },
    });
    expect(config.targets).toEqual({
      local: {
        name: 'local',
        url: { kind: 'local' },
        schema: 'public',
        lockTimeoutMs: 3_000,
        statementTimeoutMs: { check: 30_000, migrate: 600_000, probe: 60_000 },
        backupDir: path.join(cwd, '.sluice/backups/local'),
        restoreServer: null,
        maintenanceDatabase: 'postgres',
        delivery: NO_DELIVERY,
      },
    });
    expect(new Set([...config.origins.values()].map((origin) => origin.layer))).toEqual(new Set(['default']));
  });

  test('DATABASE_URL is that target, by reference only', async () => {
    const config = await load({}, { DATABASE_URL: 'postgresql://u:hunter2@h/d' });
    expect(config.targets.local?.url).toEqual({ kind: 'env', name: 'DATABASE_URL' });
    expect(config.origins.get('targets.local.url')).toEqual({ layer: 'environment', source: 'DATABASE_URL' });
    expect(JSON.stringify([config, ...config.origins])).not.toContain('hunter2');
  });

  test('an empty file or an empty variable says nothing', async () => {
    const config = await load({ 'sluice.yaml': '# nothing yet\n' }, { DATABASE_URL: '', SLUICE_TARGET: '' });
    expect(config.targets.local?.url).toEqual({ kind: 'local' });
  });
});

describe('a value', () => {
  const user = 'temporal: { namespace: user, address: "user:1" }\nbackup: { keep: 1 }\n';
  const project = 'temporal: { namespace: project }\nbackup: { keep: 2, dir: kept }\n';
  const userFile = 'home/.config/sluice/sluice.yaml';

  test('comes from the flag, then the environment, the project, the user, the default', async () => {
    const config = await load(
      { 'sluice.yaml': project, [userFile]: user },
      { TEMPORAL_NAMESPACE: 'environment', SLUICE_BACKUP_KEEP: '3' },
      { backupKeep: 4 },
    );
    expect(config.backup.keep).toBe(4);
    expect(config.temporal).toEqual({ address: 'user:1', namespace: 'environment', uiUrl: null });
    expect(config.backup.dir).toBe(path.join(cwd, 'kept'));
    expect(Object.fromEntries(config.origins)).toMatchObject({
      'backup.keep': { layer: 'flag', source: '--backup-keep' },
      'temporal.namespace': { layer: 'environment', source: 'TEMPORAL_NAMESPACE' },
      'backup.dir': { layer: 'project', source: `${path.join(cwd, 'sluice.yaml')}:2:20` },
      'temporal.address': { layer: 'user', source: `${path.join(cwd, userFile)}:1:30` },
      'temporal.ui_url': { layer: 'default', source: 'default' },
    });
  });

  test('of the project wins over the user’s, and the environment over both', async () => {
    expect((await load({ 'sluice.yaml': project, [userFile]: user })).temporal.namespace).toBe('project');
    const named = await load({ 'sluice.yaml': project }, { SLUICE_TARGET: 'local' });
    expect(named.origins.get('default_target')?.layer).toBe('environment');
  });

  test('of a target is merged by key, with paths relative to the file that gives them', async () => {
    const { targets, macroDirs } = await load(
      {
        'conf/sluice.yaml': `macro_dirs: [mine]\ntargets:\n  staging:\n    url: { file: secrets/url }\n    statement_timeout: { migrate: 1h }\n    restore_server: postgresql://backup@h/d\n`,
        'home/.config/sluice/sluice.yaml':
          'targets:\n  staging: { schema: app, lock_timeout: 1s, url: { env: OTHER } }\n',
      },
      { SLUICE_CONFIG: 'conf/sluice.yaml' },
    );
    expect(macroDirs).toEqual([path.join(cwd, 'conf/mine')]);
    expect(targets).toEqual({
      staging: expect.objectContaining({
        url: { kind: 'file', path: path.join(cwd, 'conf/secrets/url') },
        schema: 'app',
        lockTimeoutMs: 1_000,
        statementTimeoutMs: { check: 30_000, migrate: 3_600_000, probe: 60_000 },
        restoreServer: { kind: 'plain', url: 'postgresql://backup@h/d' },
      }),
    });
  });

  test('of the environment that is wrong is named with its variable', async () => {
    const error = await rejection(load({}, { SLUICE_BACKUP_KEEP: 'many' }));
    expect(error.code).toBe('configuration_invalid');
    expect(error.text.what).toBe('The variable SLUICE_BACKUP_KEEP has a value that is not allowed.');
    const flag = await rejection(load({}, {}, { temporalAddress: 'nowhere' }));
    expect(flag.message).toMatch(/^The flag --temporal-address has .* Use host:port/);
  });
});

describe('sluice.yaml', () => {
  const problems = (text: string) => problemsOf(load({ 'sluice.yaml': text }));

  test('names each fault by line and column', async () => {
    const found = await problems(
      'targts: {}\ntargets:\n  a: { url: { env: A }, lock_timeout: 3 s }\nbackup:\n  keep: 0\n',
    );
    expect(found).toMatchObject([
      {
        place: 'sluice.yaml:1:1',
        what: 'Unknown key `targts`.',
        expected: expect.stringMatching(/^Did you mean `targets`\?/),
      },
      { place: 'sluice.yaml:3:39', what: '`targets.a.lock_timeout` is not valid.' },
      { place: 'sluice.yaml:5:9', what: '`backup.keep` is not valid.' },
    ]);
  });

  test.each([
    ['postgresql://u:hunter2@h/d'],
    ['postgres://:hunter2@h/d'],
    ['postgresql://u@h/d?password=hunter2'],
    ['postgresql://u@h/d?sslpassword=hunter2'],
    ['host=h password=hunter2'],
  ])('refuses %s, and does not repeat it', async (url) => {
    const error = await rejection(load({ 'sluice.yaml': `targets:\n  a:\n    url: "${url}"\n` }));
    expect(error.code).toBe('configuration_invalid');
    expect(error.message).toMatch(/sluice\.yaml:3:10: /);
    expect(error.message).toMatch(/\{ env: NAME \}/);
    expect(JSON.stringify(error) + error.stack).not.toContain('hunter2');
  });

  test('repeats no line where the YAML itself is broken', async () => {
    const error = await rejection(
      load({ 'sluice.yaml': 'targets:\n  a: { url: "postgresql://u:hunter2@h/d\n' }),
    );
    expect(JSON.stringify(error) + error.stack).not.toContain('hunter2');
  });

  test.each([
    'postgresql://u@h:5432/d',
    'postgres://h/d?sslmode=require',
    'postgresql:///d?host=/run/postgresql',
  ])('accepts %s', async (url) => {
    const config = await load({ 'sluice.yaml': `targets: { a: { url: "${url}" } }\n` });
    expect(config.targets.a?.url).toEqual({ kind: 'plain', url });
  });

  test('refuses a reference that is none', async () => {
    const [problem] = await problems('targets:\n  a:\n    url: { environment: A }\n');
    expect(problem).toMatchObject({
      place: 'sluice.yaml:3:10',
      expected: expect.stringMatching(/\{ file: PATH \}/),
    });
  });

  test('refuses a target without a url', async () => {
    const error = await rejection(load({ 'sluice.yaml': 'targets:\n  a: { schema: app }\n' }));
    expect(error.message).toMatch(/sluice\.yaml:2:3: the target `a` has no url\./);
  });

  test('must be there when it is asked for by name', async () => {
    const error = await rejection(load({}, {}, { config: 'other.yaml' }));
    expect(error.text.what).toMatch(/other\.yaml cannot be read \(ENOENT\)/);
  });
});

describe('the target of a command', () => {
  const two = { 'sluice.yaml': 'targets:\n  a: { url: { env: A } }\n  b: { url: { env: B } }\n' };

  test('is the one named, the configured default, or the only one', async () => {
    expect(findTarget(await load(two), 'b').name).toBe('b');
    expect(findTarget(await load(two, {}, { target: 'a' })).name).toBe('a');
    expect(findTarget(await load({ 'sluice.yaml': 'targets: { only: { url: { env: A } } }\n' })).name).toBe(
      'only',
    );
  });

  test('must be known, and named where several are configured', async () => {
    const config = await load(two);
    expect(config.defaultTarget).toBeNull();
    expect(() => findTarget(config)).toThrow('No target is named, and none is the default. Targets: a, b.');
    expect(() => findTarget(config, 'toString')).toThrow('There is no target `toString`.');
    expect((await rejection(load(two, { SLUICE_TARGET: 'c' }))).code).toBe('target_not_found');
  });
});
