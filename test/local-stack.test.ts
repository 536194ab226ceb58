import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterEach, expect, test, vi } from 'vitest';
import { SHARED_STATE_DIR } from '../local/place-data.ts';
import { isRunning } from '../local/process-identity.ts';
import type { Stack, StackOptions } from '../local/stack.ts';
import { startStack } from '../local/start-stack.ts';
import { readState } from '../local/state-file.ts';
import { runningServers, stopStack, untilServerEnds } from '../local/stop-stack.ts';
import { askTemporal } from '../local/temporal-ready.ts';
import { harness } from './support/harness.ts';
import { temporalProgram } from './support/temporal-address.ts';

const run = promisify(execFile);
vi.setConfig({ testTimeout: 180_000 });
const directories: string[] = [];

afterEach(async () => {
  for (const dir of directories.splice(0)) {
    await stopStack({ stateDir: stateOf(dir) });
    const { postgres } = readState(stateOf(dir));
    if (postgres?.dataDir.startsWith(SHARED_STATE_DIR))
      rmSync(dirname(postgres.dataDir), { recursive: true });
    rmSync(dir, { recursive: true, force: true });
  }
});

test('a stack starts with both servers ready, the search attributes registered and nothing open to others', async () => {
  const stack = await start(directory());
  expect(await rows(stack, 'select current_database() as name')).toEqual([{ name: 'sluice' }]);
  expect(
    await rows(stack, `select current_setting('listen_addresses') as at, current_setting('fsync') as fsync`),
  ).toEqual([{ at: '127.0.0.1', fsync: 'on' }]);
  const facts = await askTemporal(stack.temporal);
  expect(facts.missing).toEqual([]);
  expect(facts.serverVersion).toBe(stack.temporal.version);
  expect((await fetch(stack.temporal.uiUrl ?? '')).status).toBe(200);
  expect(stack.postgres.hasPgDump).toBe(true);
  expect(statSync(join(stack.stateDir, 'postgres.password')).mode & 0o777).toBe(0o600);
  const refused = new pg.Client({ connectionString: stack.postgres.url.replace(/:[^:@]+@/, ':wrong@') });
  await expect(refused.connect()).rejects.toMatchObject({ code: '28P01' });
});

test('a second start in the same directory attaches, and its stop leaves the servers of the first', async () => {
  const dir = directory();
  const first = await start(dir);
  const second = await start(dir);
  expect(second.temporal.pid).toBe(first.temporal.pid);
  expect(second.postgres.url).toBe(first.postgres.url);
  expect([second.temporal.started, second.postgres.started]).toEqual([false, false]);
  await second.stop();
  expect(await rows(first, 'select 1 as one')).toEqual([{ one: 1 }]);
  await first.stop();
  expect(runningServers(first.stateDir)).toEqual([]);
});

test('two starts at the same moment in one directory give one stack', async () => {
  const dir = directory();
  const [one, other] = await Promise.all([start(dir), start(dir)]);
  expect(one.temporal.pid).toBe(other.temporal.pid);
  expect(one.postgres.pid).toBe(other.postgres.pid);
});

test('a stopped stack starts again on the same data, at the same addresses', async () => {
  const dir = directory();
  const first = await start(dir);
  await rows(first, `create table kept as select 'yes' as it`);
  expect((await stopStack({ stateDir: first.stateDir })).stopped).toEqual(['temporal', 'postgres']);
  expect(existsSync(join(readState(first.stateDir).postgres?.dataDir ?? '', 'postmaster.pid'))).toBe(false);
  const again = await start(dir);
  expect(await rows(again, 'select it from kept')).toEqual([{ it: 'yes' }]);
  expect(again.postgres.url).toBe(first.postgres.url);
  expect(again.temporal.address).toBe(first.temporal.address);
});

test('stopping where nothing runs stops nothing', async () => {
  expect((await stopStack({ stateDir: stateOf(directory()) })).stopped).toEqual([]);
});

test('servers killed with SIGKILL are seen to end, and the next start recovers the data', async () => {
  const dir = directory();
  const first = await start(dir);
  await rows(first, `create table kept as select 'yes' as it`);
  const ends = untilServerEnds(first, AbortSignal.timeout(20_000));
  kill(first.temporal.pid);
  expect(await ends).toBe('temporal');
  kill(first.postgres.pid);
  const again = await start(dir);
  expect(await rows(again, 'select it from kept')).toEqual([{ it: 'yes' }]);
  expect(again.temporal.pid).not.toBe(first.temporal.pid);
  expect((await askTemporal(again.temporal)).missing).toEqual([]);
});

test('a lock file of PostgreSQL whose pid now belongs to another program does not stop the next start', async () => {
  const dir = directory();
  const first = await start(dir);
  const { dataDir } = readState(first.stateDir).postgres ?? { dataDir: '' };
  await stopStack({ stateDir: first.stateDir });
  const stranger = execFile('sleep', ['60'], owner(dataDir));
  try {
    writeFileSync(join(dataDir, 'postmaster.pid'), `${stranger.pid}\n${dataDir}\n1\n5432\n\n127.0.0.1\n`, {
      mode: 0o600,
    });
    const { uid, gid } = statSync(dataDir);
    chownSync(join(dataDir, 'postmaster.pid'), uid, gid);
    const again = await start(dir);
    expect(await rows(again, 'select 1 as one')).toEqual([{ one: 1 }]);
  } finally {
    stranger.kill('SIGKILL');
  }
});

test('a starter killed with SIGKILL leaves servers that the next start attaches to', async () => {
  const dir = directory();
  const script = `import { startStack } from './local/start-stack.ts';
    await startStack({ stateDir: process.argv[1] });
    process.kill(process.pid, 'SIGKILL');`;
  const env = { ...process.env, SLUICE_TEMPORAL_CLI: temporalProgram() };
  await expect(
    run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, stateOf(dir)], { env }),
  ).rejects.toMatchObject({ signal: 'SIGKILL' });
  expect(runningServers(stateOf(dir))).toEqual(['temporal', 'postgres']);
  const next = await start(dir);
  expect([next.temporal.started, next.postgres.started]).toEqual([false, false]);
});

test('stacks of two directories do not disturb each other', async () => {
  const [one, other] = await Promise.all([start(directory()), start(directory())]);
  expect(one.temporal.address).not.toBe(other.temporal.address);
  expect(one.postgres.url).not.toBe(other.postgres.url);
  await rows(one, 'create table mine (id int)');
  expect(await rows(other, `select to_regclass('mine') as mine`)).toEqual([{ mine: null }]);
  await stopStack({ stateDir: one.stateDir });
  expect(await rows(other, 'select 1 as one')).toEqual([{ one: 1 }]);
  expect((await askTemporal(other.temporal)).missing).toEqual([]);
});

test('ports taken since the last start are left to who took them', async () => {
  const dir = directory();
  const first = await start(dir);
  await stopStack({ stateDir: first.stateDir });
  const taken = [first.temporal.address, first.temporal.uiUrl ?? '', first.postgres.url].map(portIn);
  const squatters = await Promise.all(taken.map(listen));
  try {
    const again = await start(dir);
    const now = [again.temporal.address, again.temporal.uiUrl ?? '', again.postgres.url].map(portIn);
    for (const port of taken) expect(now).not.toContain(port);
    expect(await rows(again, 'select 1 as one')).toEqual([{ one: 1 }]);
  } finally {
    for (const squatter of squatters) squatter.close();
  }
});

test('an interrupted start leaves no server behind', async () => {
  const dir = directory();
  const abort = new AbortController();
  const starting = start(dir, { signal: abort.signal });
  const spawned = await until(() => readState(stateOf(dir)).temporal?.process);
  abort.abort(new Error('interrupted'));
  await expect(starting).rejects.toThrow();
  expect(isRunning(spawned)).toBe(false);
  expect(runningServers(stateOf(dir))).toEqual([]);
});

test('a directory that the user of PostgreSQL cannot enter gets its data elsewhere, and finds it again', async () => {
  const dir = directory();
  mkdirSync(stateOf(dir));
  chmodSync(dir, 0o700);
  const first = await start(dir);
  await rows(first, `create table kept as select 'yes' as it`);
  const { dataDir } = readState(first.stateDir).postgres ?? { dataDir: '' };
  expect(dataDir.startsWith(dir)).toBe(process.getuid?.() !== 0);
  await stopStack({ stateDir: first.stateDir });
  expect(await rows(await start(dir), 'select it from kept')).toEqual([{ it: 'yes' }]);
});

test('the embedded server of npm serves where no PostgreSQL is installed', async () => {
  const stack = await start(directory(), { env: { ...ownEnv(), SLUICE_PG_BIN: '/nowhere' } });
  expect(stack.postgres).toMatchObject({ rung: 'embedded', major: 18, hasPgDump: false, pgDumpDir: null });
  expect(await rows(stack, 'select 1 as one')).toEqual([{ one: 1 }]);
});

test('where no Temporal and no PostgreSQL can be had, the errors say what was tried and what to install', async () => {
  const cache = directory();
  const none = {
    SLUICE_TEMPORAL_DOWNLOAD: 'off',
    SLUICE_TEMPORAL_GO: 'off',
    SLUICE_CACHE: cache,
    PATH: '/nowhere',
    HOME: cache,
  };
  const temporal = start(directory(), { env: none });
  await expect(temporal).rejects.toMatchObject({ code: 'temporal_not_ready' });
  await expect(temporal).rejects.toThrow(
    /no temporal on PATH.*no cached copy.*download: switched off.*go: switched off.*docs\.temporal\.io/,
  );
  const env = { ...ownEnv(), SLUICE_PG_BIN: '/nowhere', SLUICE_EMBEDDED_POSTGRES: 'off' };
  const dir = directory();
  const postgres = start(dir, { env });
  await expect(postgres).rejects.toMatchObject({ code: 'target_unreachable' });
  await expect(postgres).rejects.toThrow(
    /no usable initdb and postgres in \/nowhere.*switched off.*apt install postgresql/,
  );
  expect(runningServers(stateOf(dir))).toEqual([]);
});

test('a configured server that does not answer is an error and nothing is started in its place', async () => {
  const dir = directory();
  const env = { ...ownEnv(), DATABASE_URL: 'postgresql://someone:secret@127.0.0.1:1/db' };
  const refused = start(dir, { env });
  await expect(refused).rejects.toMatchObject({ code: 'target_unreachable' });
  await expect(refused).rejects.not.toThrow(/secret/);
  await expect(start(dir, { env: { ...ownEnv(), TEMPORAL_ADDRESS: '127.0.0.1:1' } })).rejects.toMatchObject({
    code: 'temporal_unreachable',
  });
  expect(runningServers(stateOf(dir))).toEqual([]);
});

test('configured servers are used as they are', async () => {
  const theirs = await start(directory());
  const env = { ...ownEnv(), DATABASE_URL: theirs.postgres.url, TEMPORAL_ADDRESS: theirs.temporal.address };
  const stack = await start(directory(), { env });
  expect(stack.temporal).toMatchObject({ rung: 'configured', address: theirs.temporal.address, pid: null });
  expect(stack.postgres).toMatchObject({
    rung: 'configured',
    major: theirs.postgres.major,
    hasPgDump: true,
    pid: null,
  });
  await stack.stop();
  expect(runningServers(theirs.stateDir)).toEqual(['temporal', 'postgres']);
});

function directory(): string {
  const dir = mkdtempSync(join(harness().dir, 'local-'));
  chmodSync(dir, 0o755);
  directories.push(dir);
  return dir;
}

function stateOf(dir: string): string {
  return join(dir, '.sluice');
}

/** Without the servers that the environment of the tests may name, and with the run's Temporal CLI. */
function ownEnv(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !/^(PG|DATABASE_URL|TEMPORAL_)/.test(name));
  return { ...Object.fromEntries(kept), SLUICE_TEMPORAL_CLI: temporalProgram() };
}

async function start(dir: string, options: StackOptions = {}): Promise<Stack> {
  return await startStack({ stateDir: stateOf(dir), env: ownEnv(), ...options });
}

async function rows(stack: Stack, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: stack.postgres.url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

function kill(pid: number | null): void {
  if (pid !== null) process.kill(pid, 'SIGKILL');
}

function owner(path: string): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = statSync(path);
  return { uid, gid };
}

function portIn(address: string): number {
  return Number(/:(\d+)(\/|$)/.exec(address)?.[1]);
}

function listen(port: number) {
  return new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

async function until<T>(look: () => T | undefined): Promise<T> {
  for (;;) {
    const seen = look();
    if (seen !== undefined) return seen;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
