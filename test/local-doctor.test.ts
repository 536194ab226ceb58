import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { fine } from '../local/doctor-part.ts';
import { inspectEnvironment } from '../local/inspect-environment.ts';
import { createDatabase } from './support/create-database.ts';
import { temporalAddress, temporalProgram } from './support/temporal-address.ts';

test('with servers that answer each part is fine, the hook sees the target, and no password is shown', async () => {
  const database = await createDatabase({ major: 15 });
  const parts = await inspectEnvironment({
    stateDir: stateDir(),
    env: { ...process.env, DATABASE_URL: database.url, TEMPORAL_ADDRESS: temporalAddress() },
    inspectTarget: async (url) => [fine('engine schema', url === database.url ? 'seen' : 'another')],
  });
  expect(parts.filter((part) => !part.ok)).toEqual([]);
  expect(parts.map((one) => one.part)).toEqual(
    expect.arrayContaining([
      'node',
      'npm packages',
      'temporal server',
      'search attributes',
      'postgresql server',
    ]),
  );
  expect(parts).toContainEqual(fine('engine schema', 'seen'));
  expect(JSON.stringify(parts)).not.toContain(new URL(database.url).password);
});

test('before the first start it says what would be used and changes nothing', async () => {
  const env = { ...process.env, SLUICE_TEMPORAL_CLI: temporalProgram() };
  const parts = await inspectEnvironment({ stateDir: stateDir(), env });
  expect(parts).toContainEqual(
    expect.objectContaining({ part: 'temporal cli', ok: true, found: temporalProgram() }),
  );
  expect(parts).toContainEqual(
    expect.objectContaining({ part: 'postgresql programs', ok: true, rung: 'local' }),
  );
});

test('each part that is missing comes with its fix', async () => {
  const nothing = {
    SLUICE_TEMPORAL_CLI: '/nowhere',
    SLUICE_PG_BIN: '/nowhere',
    SLUICE_EMBEDDED_POSTGRES: 'off',
  };
  const parts = await inspectEnvironment({ stateDir: stateDir(), env: { ...process.env, ...nothing } });
  const missing = parts.filter((part) => !part.ok);
  expect(missing.map((one) => one.part)).toEqual(['temporal cli', 'postgresql programs']);
  for (const part of missing) expect(part.fix).toMatch(/install/);
});

test('configured servers that do not answer are wrong, without their password', async () => {
  const env = {
    ...process.env,
    DATABASE_URL: 'postgresql://a:secret@127.0.0.1:1/b',
    TEMPORAL_ADDRESS: '127.0.0.1:1',
  };
  const parts = await inspectEnvironment({ stateDir: stateDir(), env });
  expect(parts.filter((part) => !part.ok).map((one) => one.part)).toEqual([
    'temporal server',
    'postgresql server',
  ]);
  expect(JSON.stringify(parts)).not.toContain('secret');
});

test('an embedded server without a pg_dump of its age is told so', async () => {
  const database = await createDatabase({ major: 18 });
  const env = {
    ...process.env,
    DATABASE_URL: database.url,
    TEMPORAL_ADDRESS: temporalAddress(),
    SLUICE_PG_BIN: '/nowhere',
  };
  const parts = await inspectEnvironment({ stateDir: stateDir(), env });
  expect(parts).toContainEqual(
    expect.objectContaining({ part: 'pg_dump', ok: false, fix: expect.stringContaining('18') }),
  );
});

function stateDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-doctor-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  return join(dir, '.sluice');
}
