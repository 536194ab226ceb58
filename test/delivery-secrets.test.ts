import { randomBytes } from 'node:crypto';
import { appendFile, chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { inspect } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { vectorTableDdl } from '../delivery/vector/vector-table.ts';
import { openDeliveries } from './delivery-activity/support/deliveries.ts';
import { type Canary, canariesIn, spellings } from './delivery-faults/support/canary-search.ts';
import { type EchoingServer, startEchoingServer } from './delivery-faults/support/echoing-server.ts';
import { type ProcessWatch, watchProcesses } from './delivery-faults/support/process-watch.ts';
import { type RouteProject, routeProject } from './route-support/route-project.ts';
import { ask, runWorker } from './sql-worker/support/worker.ts';
import { demand, harness } from './support/harness.ts';
import { runCli, spawnCli, tableSteps } from './support/run-cli.ts';
import { temporalAddress } from './support/temporal-address.ts';
import { startVectorDatabase, type VectorDatabase } from './support/vector-database.ts';
import { waitFor } from './support/wait-for.ts';

vi.setConfig({ testTimeout: 240_000 });

const DIMENSIONS = 16;
const secret = () => randomBytes(24).toString('base64').replaceAll(/[+/]/g, 'x');
const signing = () => `whsec_${secret()}`;
/** Each is planted in one place of the configuration. */
const PLANTED = {
  NEW_SECRET: signing(),
  OLD_SECRET: signing(),
  FILE_SECRET: signing(),
  MALFORMED_SECRET: secret(),
  COMMAND_SECRET: secret(),
  DIRECTUS_TOKEN: secret(),
  EMBEDDING_KEY: secret(),
  DATABASE_PASSWORD: secret(),
  VECTOR_PASSWORD: secret(),
  WRONG_PASSWORD: secret(),
};
const CANARIES: readonly Canary[] = Object.entries(PLANTED).flatMap(([name, value]) => {
  const core = value.replace('whsec_', '');
  const key = Buffer.from(core, 'base64').toString('hex');
  return [{ name, core }, ...(core === value ? [] : [{ name: `key of ${name}`, core: key }])];
});
const FLOWS = { ok: flow('0'), _401: flow('401'), _500: flow('500'), cut: flow('c') };
/** A flow's id ends as its answer shall be; the server looks at the last three characters. */
function flow(end: string): string {
  return `2fab3b9d-0543-4b87-8a30-${end.padStart(12, '0')}`;
}

/** A user of PostgreSQL whose password is one of the secrets. */
const USER = `canary_${process.pid}`;
const cleanUps: (() => unknown)[] = [];
/** Everything that is written anywhere, and what is in it if it was really read. */
const places = new Map<string, { readonly text: string; readonly shows: string }>();
const keep = (place: string, text: string, shows: string) => void places.set(place, { text, shows });

let project: RouteProject;
let echo: EchoingServer;
let vectors: VectorDatabase;
let env: Record<string, string>;
let watch: ProcessWatch;
let worker: { readonly pid: number; readonly log: string[] };
beforeAll(async () => {
  [project, echo, vectors] = await Promise.all([
    routeProject(),
    startEchoingServer(DIMENSIONS),
    startVectorDatabase(),
  ]);
  cleanUps.push(
    () => echo.close(),
    () => vectors.close(),
    async () => {
      await project.close();
      await dropUser();
    },
  );
  await configure();
  watch = watchProcesses(CANARIES);
  cleanUps.push(() => watch.stop());
  await prepareRoutes();
  await work();
  await collect();
}, 300_000);
afterAll(async () => {
  for (const cleanUp of cleanUps.reverse()) await cleanUp();
});

/** Plants every secret: in variables, in a file, behind a command, in passwords. */
async function configure(): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-canary-'));
  cleanUps.push(() => rm(dir, { recursive: true, force: true }));
  const [file, command] = [join(dir, 'filed'), join(dir, 'command')];
  await writeFile(file, PLANTED.FILE_SECRET);
  await writeFile(`${command}.secret`, PLANTED.COMMAND_SECRET);
  await writeFile(command, `#!/bin/sh\ncat '${command}.secret'\ncat '${command}.secret' >&2\nexit 3\n`);
  await chmod(command, 0o755);
  const table = { schema: 'public', table: 'piece', sql: 'public.piece' };
  await vectors.exec(`create extension vector; ${vectorTableDdl(table, DIMENSIONS)}`);
  await project.sql.query(`create role ${USER} superuser login password '${PLANTED.DATABASE_PASSWORD}'`);
  const { NEW_SECRET, OLD_SECRET, MALFORMED_SECRET, DIRECTUS_TOKEN, EMBEDDING_KEY } = PLANTED;
  env = {
    ...project.env,
    ...{ NEW_SECRET, OLD_SECRET, MALFORMED_SECRET, DIRECTUS_TOKEN, EMBEDDING_KEY },
    TARGET_URL: withPassword(project.database.url, PLANTED.DATABASE_PASSWORD),
    BROKEN_URL: withPassword(project.database.url, PLANTED.WRONG_PASSWORD),
    VECTOR_URL: withPassword(vectors.url, PLANTED.VECTOR_PASSWORD, 'postgres'),
    SLUICE_LOG: 'debug',
    SLUICE_TARGET: project.target,
  };
  await project.configure(`allow_cidrs: [127.0.0.0/8]
secrets:
  new: { env: NEW_SECRET }
  old: { env: OLD_SECRET }
  malformed: { env: MALFORMED_SECRET }
  unset: { env: NOT_SET }
  filed: { file: ${file} }
  commanded: { command: [${command}, argument] }
external_endpoint: { source: "https://iu.example" }
directus_flow: { base_url: "${echo.url}", token: { env: DIRECTUS_TOKEN } }
workflow: {}
report: { dir: reports }
vector:
  url: { env: VECTOR_URL }
  embedding: { url: "${echo.url}/v1/embeddings", model: m, dimensions: ${DIMENSIONS}, api_key: { env: EMBEDDING_KEY } }`);
  await appendFile(join(project.dir, 'sluice.yaml'), '  broken:\n    url: { env: BROKEN_URL }\n');
}

function withPassword(url: string, password: string, user = USER): string {
  const made = new URL(url);
  made.username = user;
  made.password = password;
  return made.href;
}

/** Routes, each with what becomes of its one event. */
const http = (names: string[]) => ({ allow_http: true, signing_secrets: names });
const ROUTES = () =>
  [
    ['hook_ok', 'external_endpoint', `${echo.url}/ok`, http(['new', 'old']), 'sent'],
    ['hook_filed', 'external_endpoint', `${echo.url}/filed-ok`, http(['filed']), 'sent'],
    ['hook_401', 'external_endpoint', `${echo.url}/401`, http(['new', 'old']), 'http_401'],
    ['hook_500', 'external_endpoint', `${echo.url}/500`, http(['new']), 'http_500'],
    ['hook_cut', 'external_endpoint', `${echo.url}/cut`, http(['new']), 'connection_cut'],
    ['hook_malformed', 'external_endpoint', `${echo.url}/ok`, http(['malformed']), 'secret_unresolved'],
    ['hook_unset', 'external_endpoint', `${echo.url}/ok`, http(['unset']), 'secret_unresolved'],
    ['hook_commanded', 'external_endpoint', `${echo.url}/ok`, http(['commanded']), 'secret_unresolved'],
    ['flow_ok', 'directus_flow', FLOWS.ok, { allow_http: true }, 'sent'],
    ['flow_401', 'directus_flow', FLOWS._401, { allow_http: true }, 'http_401'],
    ['flow_500', 'directus_flow', FLOWS._500, { allow_http: true }, 'http_500'],
    ['vector_ok', 'vector', 'public.piece', {}, 'sent'],
    ['vector_401', 'vector', 'public.piece', {}, 'http_401'],
    ['vector_500', 'vector', 'public.piece', {}, 'http_500'],
    ['vector_cut', 'vector', 'public.piece', {}, 'connection_cut'],
    ['vector_no_table', 'vector', 'public.no_such_ok', {}, 'sqlstate_42p01'],
    ['written', 'report', 'weekly', {}, 'sent'],
    ['started', 'workflow', `${USER}/Anything`, {}, 'sent'],
  ] as const;

async function prepareRoutes(): Promise<void> {
  const { sql } = project;
  await openDeliveries(sql);
  for (const [code, kind, ref, config] of ROUTES()) {
    await sql.query(
      `update dot_config set value = concat_ws(',', nullif(value, ''), $1::text)
       where key = 'iu_core.delivery_live_routes'`,
      [code],
    );
    await sql.query(
      `insert into iu_outbound_route
         (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run, config)
       values ($1, 'test', $1, $2, $3, true, false, $4)`,
      [code, kind, ref, JSON.stringify({ ...config, retry: { schedule: ['0s', '720h', '720h'] } })],
    );
    // What is to be embedded tells the server how to answer.
    await sql.query(
      `select fn_iu_emit_event('test', $1, 'a subject', null, jsonb_build_object('text', $1::text), 'a test')`,
      [code],
    );
  }
  await runWorker(sql, 1_000);
}

async function dropUser(): Promise<void> {
  const admin = new pg.Client({ connectionString: demand(harness().postgres[15]).adminUrl });
  await admin.connect();
  await admin.query(`drop role if exists ${USER}`);
  await admin.end();
}

/** Delivers by workflow, and runs what people run. */
async function work(): Promise<void> {
  const process = spawnCli(['worker'], { cwd: project.dir, env });
  cleanUps.push(async () => {
    process.kill('SIGTERM');
    await process;
  });
  const log: string[] = [];
  for (const stream of [process.stdout, process.stderr])
    stream?.on('data', (chunk: Buffer) => log.push(chunk.toString()));
  worker = { pid: process.pid ?? 0, log };
  await waitFor(async () => log.join('').includes('worker is ready'), 120_000);
  const connection = await Connection.connect({ address: temporalAddress() });
  cleanUps.push(() => connection.close());
  const client = new Client({ connection });
  const start = (target: string) =>
    client.workflow.start('deliver', {
      workflowId: `deliver/${target}/${project.target}`,
      taskQueue: env.SLUICE_TASK_QUEUE ?? '',
      args: [{ target, forMs: 0, idleMs: 50 }],
    });
  const [delivering, broken] = await Promise.all([start(project.target), start('broken')]);
  await delivering.result();
  await project.macro('plain', tableSteps('t_plain').steps, tableSteps('t_plain').files);
  await sluice('succeeded', 'macro start plain --wait --reason because');
  await project.sql.query('update iu_route_delivery set due_at = clock_timestamp()');
  await peopleLook();

  const failure = await broken.result().catch((error: unknown) => error);
  keep('failure of a workflow', inspect(failure, { depth: 10 }), 'target_authentication');
  const key = await ask<string>(
    project.sql,
    `select event_id || ':started' as answer from iu_route_attempt where route_code = 'started'`,
  );
  const workflows = [delivering.workflowId, broken.workflowId, `macro/${project.target}`, `delivery/${key}`];
  for (const workflowId of workflows) {
    const handle = client.workflow.getHandle(workflowId);
    const { events } = await handle.fetchHistory();
    keep(`history of ${workflowId}`, JSON.stringify(events), 'workflowExecutionStarted');
  }
  await client.workflow.getHandle(`delivery/${key}`).terminate('nobody works on it');
}

/** Runs `sluice` with arguments in one text, and keeps what it says; `shows` is in it. */
async function sluice(
  shows: string,
  args: string,
  more: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { exitCode, stdout, stderr } = await runCli(args.split(' '), {
    cwd: project.dir,
    env: { ...env, ...more },
  });
  keep(`${places.size}: sluice ${args}`, `${exitCode} ${stdout}\n${stderr}`, shows);
}

async function peopleLook(): Promise<void> {
  const wrong = withPassword(project.database.url, PLANTED.WRONG_PASSWORD);
  const malformed = `postgresql://${USER}:${PLANTED.WRONG_PASSWORD}@127.0.0.1:port/nowhere`;
  const vector = 'route test vector_ok --payload {"text":"ok"}';
  const runs = [
    () => sluice('npm packages', 'doctor'),
    () => sluice('.html', 'macro report 1'),
    () => sluice('hook_commanded', 'route list'),
    () => sluice('http_401', 'route show hook_401'),
    () => sluice('secret_unresolved', 'route show hook_malformed --json'),
    () => sluice('http_401', 'route show vector_401 --json'),
    () => sluice('http_401', 'route test hook_401'),
    () => sluice('Standard Webhooks', 'route test hook_malformed --json'),
    () => sluice('exit code 3', 'route test hook_commanded'),
    () => sluice('http_401', 'route test flow_401 --json'),
    () => sluice('http_401', 'route test vector_401 --payload {"text":"401"}'),
    () => sluice('retried', 'outbox deliver --reason because --json'),
    () => sluice('Secret `delivery.vector.url`', vector, { VECTOR_URL: malformed }),
    () => sluice('28P01', vector, { VECTOR_URL: wrong }),
    () => sluice('target_authentication', 'route list --json', { TARGET_URL: wrong }),
    () => sluice('TARGET_URL', 'route list', { TARGET_URL: malformed }),
  ];
  for (let next = runs.splice(0, 3); next.length > 0; next = runs.splice(0, 3))
    await Promise.all(next.map((run) => run()));
}

/** Keeps what is in tables, files and the log. */
async function collect(): Promise<void> {
  const { rows: tables } = await project.sql.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('public', 'sluice')`,
  );
  for (const { name } of tables) {
    const all = `select coalesce(string_agg(to_jsonb(t)::text, chr(10)), '') as answer from ${name} as t`;
    const text = await ask<string>(project.sql, all);
    if (text !== '') keep(`table ${name}`, text, '{');
  }
  const files = await readdir(project.dir, { recursive: true, withFileTypes: true });
  for (const file of files.filter((one) => one.isFile())) {
    const path = join(file.parentPath, file.name);
    keep(`file ${relative(project.dir, path)}`, await readFile(path, 'latin1'), '');
  }
  keep('log of the worker', worker.log.join(''), '"level":20');
}

test('each delivery ended as it was meant to', async () => {
  const { rows } = await project.sql.query<{ route: string; end: string }>(
    `select route_code as route, coalesce(failure_code, status) as end from iu_route_attempt where attempt_no = 1`,
  );
  expect(Object.fromEntries(rows.map(({ route, end }) => [route, end]))).toEqual(
    Object.fromEntries(ROUTES().map(([code, , , , end]) => [code, end])),
  );
});

test('the secrets were used: the targets heard them, and the passwords let in', () => {
  const signed = echo.heard.find(({ path }) => path === '/ok');
  const headers = signed?.headers as Record<string, string>;
  for (const each of [PLANTED.NEW_SECRET, PLANTED.OLD_SECRET])
    expect(() => new Webhook(each).verify(signed?.body ?? '', headers)).not.toThrow();
  const filed = echo.heard.find(({ path }) => path === '/filed-ok');
  expect(() =>
    new Webhook(PLANTED.FILE_SECRET).verify(filed?.body ?? '', filed?.headers as Record<string, string>),
  ).not.toThrow();
  const bearers = new Set(echo.heard.map((one) => one.headers.authorization));
  expect(bearers).toContain(`Bearer ${PLANTED.DIRECTUS_TOKEN}`);
  expect(bearers).toContain(`Bearer ${PLANTED.EMBEDDING_KEY}`);
  expect(places.get(`history of macro/${project.target}`)?.text).toContain('workflowExecutionCompleted');
});

test('no secret is in any table, file, history, log or answer of the command line', () => {
  const names = [...places.keys()].join('\n');
  for (const table of ['iu_route_attempt', 'iu_route_dead_letter', 'iu_route_delivery', 'iu_control_change'])
    expect(names).toContain(`table public.${table}`);
  expect(names).toMatch(/^file reports\/weekly\.jsonl$/m);
  expect(names).toMatch(/^file \.sluice\/reports\/.*\.html$/m);
  expect(places.size).toBeGreaterThan(35);
  const unread = [...places].filter(([, { text, shows }]) => !text.includes(shows));
  expect(unread.map(([place, { text }]) => `${place}: ${text.slice(0, 500)}`)).toEqual([]);
  const found = [...places].flatMap(([place, { text }]) =>
    canariesIn(text, CANARIES).map((canary) => `${place}: ${canary}`),
  );
  expect(found).toEqual([]);
});

test('no secret is in the arguments of a process, nor in the environment of one that needs none', () => {
  expect(watch.seen).toBeGreaterThan(20);
  expect([...watch.inArguments]).toEqual([]);
  // What people and the worker start is handed its variables; of what these start only a command that gives a secret is,
  // and the compiler of their own source.
  const others = [...watch.inEnvironment.keys()].filter(
    (args) => !/bin\/sluice\.js |sluice-canary-\w+\/command|@esbuild\//.test(args),
  );
  expect(others).toEqual([]);
  expect([...watch.inEnvironment.keys()].join('\n')).toContain('sluice.js worker');
});

test('the search finds a secret in every spelling, wherever it is planted', () => {
  const log = places.get('log of the worker')?.text ?? '';
  expect(canariesIn(log, CANARIES)).toEqual([]);
  for (const canary of CANARIES) {
    for (const { as, spelt } of spellings(canary.core)) {
      const planted = `${log}{"level":50,"msg":"failed with ${spelt}"}\n`;
      expect(canariesIn(planted, CANARIES)).toContain(`${canary.name}, ${as}`);
    }
    const payload = Buffer.from(JSON.stringify({ authorization: `Bearer ${canary.core}` })).toString(
      'base64',
    );
    expect(canariesIn(`{"payloads":[{"data":"${payload}"}]}`, CANARIES)).not.toEqual([]);
  }
});
