import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { stopCluster } from '../../local/start-cluster.ts';
import { openSession } from '../../target/open-session.ts';
import { createDatabase } from '../support/create-database.ts';
import { OUTBOX_TEMPLATE } from '../support/outbox-template.ts';
import { startOwnCluster } from '../support/own-cluster.ts';
import { runCli } from '../support/run-cli.ts';
import { ask, emit, runNow, settled, sqlstateOf } from './support/worker.ts';

const DURABILITY = `select current_setting('synchronous_commit') as answer`;

describe.each([15, 18] as const)('synchronous_commit that somebody forced off, on PostgreSQL %i', (major) => {
  test('by the role, the database, the role in the database or the connection string reaches no engine session', async () => {
    const database = await createDatabase({ major });
    const admin = await database.connect();
    const role = `hasty_${randomBytes(4).toString('hex')}`;
    await admin.query(`create role ${role} login password 'only in a test'`);
    const url = new URL(database.url);
    url.username = role;
    url.password = 'only in a test';
    const asked = new URL(url);
    asked.searchParams.set('options', '-c synchronous_commit=off -c work_mem=7MB');
    for (const [force, reset] of [
      [`alter role ${role} set synchronous_commit = off`, `alter role ${role} reset all`],
      [
        `alter database ${database.name} set synchronous_commit = off`,
        `alter database ${database.name} reset all`,
      ],
      [
        `alter role ${role} in database ${database.name} set synchronous_commit = off`,
        `alter role ${role} in database ${database.name} reset all`,
      ],
      ['select', 'select'],
    ] as const) {
      await admin.query(force);
      const connectionString = (force === 'select' ? asked : url).href;
      const plain = new pg.Client({ connectionString });
      await plain.connect();
      expect(await ask(plain, DURABILITY), `control: ${force}`).toBe('off');
      await plain.end();
      const session = await openSession({ url: connectionString, applicationName: 'a test' });
      expect(await ask(session, DURABILITY), force).toBe('on');
      if (force === 'select')
        expect(await ask(session, `select current_setting('work_mem') as answer`)).toBe('7MB');
      await session.query('reset all');
      expect(await ask(session, DURABILITY), `${force}, after reset`).toBe('on');
      await session.end();
      await admin.query(reset);
    }
    await admin.query(`drop role ${role}`);
    await database.drop();
  });
});

test('a worker that is pointed at a standby is refused, and the primary goes on', {
  timeout: 120_000,
}, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'sluice-standby-'));
  chmodSync(dir, 0o777);
  const password = randomUUID();
  const primary = await startOwnCluster({ dir, password });
  await OUTBOX_TEMPLATE.build(primary.adminUrl);
  const writer = new pg.Client({ connectionString: primary.adminUrl });
  await writer.connect();
  await emit(writer);
  await settled(writer);
  const standby = await startOwnCluster({ dir, password, standbyOf: primary.adminUrl });
  const reader = new pg.Client({ connectionString: standby.adminUrl });
  await reader.connect();
  for (const call of [
    runNow(reader),
    reader.query(`select fn_iu_route_worker_open('iu_outbound_default')`),
  ]) {
    expect(await sqlstateOf(call)).toBe('SL008');
  }
  expect(await sqlstateOf(emit(reader))).toBe('25006');

  writeFileSync(join(dir, 'sluice.yaml'), 'targets:\n  here:\n    url: { env: TARGET_URL }\n');
  const sluice = (url: string, ...args: string[]) =>
    runCli(args, { cwd: dir, env: { TARGET_URL: url, SLUICE_ACTOR: 'ana' } });
  const drained = await sluice(standby.adminUrl, 'outbox', 'drain');
  expect(drained.exitCode).toBe(3);
  expect(drained.stderr).toMatch(/is a standby[\s\S]*primary of the cluster[\s\S]*Nothing was changed/);
  const health = await sluice(standby.adminUrl, 'outbox', 'health', '--json');
  expect(JSON.parse(health.stdout)).toMatchObject({ backlog: 1 });
  const proof = await sluice(standby.adminUrl, 'outbox', 'conservation', '--json');
  expect(JSON.parse(proof.stdout)).toMatchObject({ balanced: true });
  const onPrimary = await sluice(primary.adminUrl, 'outbox', 'drain', '--json');
  expect(JSON.parse(onPrimary.stdout)).toMatchObject({ events: 1, status: 'ran' });

  await Promise.all([writer.end(), reader.end()]);
  await stopCluster(standby.process);
  await stopCluster(primary.process);
  rmSync(dir, { recursive: true, force: true });
});
