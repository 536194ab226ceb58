import { randomUUID } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import protos from '@temporalio/proto';
import pg from 'pg';
import { obtainTemporal } from '../local/obtain-temporal.ts';
import { stopCluster } from '../local/start-cluster.ts';
import { startDevServer, stopDevServer } from '../local/start-dev-server.ts';
import { testEngine } from '../test/support/engine.ts';
import { PLAY, SCENARIOS } from '../test/support/histories.ts';
import { startOwnCluster } from '../test/support/own-cluster.ts';
import { startWorker } from '../worker.ts';

/**
 * Plays every scenario, or those that are named, on servers of its own and saves each history as
 * `test/histories/<scenario>-<release>.json`.
 * Histories of earlier releases stay: they are what a change of the workflows must still replay.
 */
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const named = process.argv.slice(2);
const target = new URL('../test/histories/', import.meta.url);
const dir = mkdtempSync(join(tmpdir(), 'sluice-histories-'));
chmodSync(dir, 0o755);
mkdirSync(target, { recursive: true });
const [postgres, server] = await Promise.all([
  startOwnCluster({ dir, password: randomUUID() }),
  startDevServer({ program: await obtainTemporal(), logFile: join(dir, 'temporal.log') }),
]);
try {
  for (const scenario of SCENARIOS) if (named.length === 0 || named.includes(scenario)) await save(scenario);
} finally {
  await Promise.all([stopCluster(postgres.process), stopDevServer(server.process)]);
  rmSync(dir, { recursive: true, force: true });
}

async function save(scenario: (typeof SCENARIOS)[number]): Promise<void> {
  const name = scenario.replaceAll('-', '_');
  const admin = await connect(postgres.adminUrl);
  await admin.query(`create database ${name}`);
  await admin.end();
  const url = new URL(postgres.adminUrl);
  url.pathname = `/${name}`;
  const database = { url: url.href, name, connect: () => connect(url.href), drop: async () => undefined };
  const engine = await testEngine({ database, address: server.address, worker: false });
  const endpoint = { connectionOptions: { address: server.address }, namespace: 'default' };
  const worker = await startWorker({
    endpoint,
    taskQueue: engine.taskQueue,
    openTarget: async () => engine.access,
  });
  const handle = await PLAY[scenario](engine);
  const history = await handle.fetchHistory();
  const file = new URL(`${scenario}-${version}.json`, target);
  writeFileSync(file, `${plain(history)}\n`);
  process.stdout.write(`${scenario}: ${history.events?.length} events\n`);
  await worker.stop();
  await engine.sql.end();
  await engine.close();
}

/**
 * Names instead of numbers, and bytes in base64, as `History.fromObject` reads them. Who and where it was played is
 * no part of it: a replay does not look at identities and stack traces.
 */
function plain(history: protos.temporal.api.history.v1.IHistory): string {
  const { History } = protos.temporal.api.history.v1;
  const named = History.toObject(History.fromObject(history), {
    bytes: String,
    enums: String,
    longs: String,
  });
  const placeless = (key: string, value: unknown) => {
    if (key === 'stackTrace') return '';
    return typeof value === 'string' && /^\d+@/.test(value) ? 'somebody' : value;
  };
  return JSON.stringify(named, placeless, 1);
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
