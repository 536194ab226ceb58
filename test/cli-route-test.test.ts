import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { HTTP } from 'cloudevents';
import type pg from 'pg';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { type HttpReceiver, httpReceiver } from './route-support/http-receiver.ts';
import { type RouteProject, routeProject } from './route-support/route-project.ts';
import { ask } from './sql-worker/support/worker.ts';
import { ownTaskQueue, temporalAddress } from './support/temporal-address.ts';
import { waitFor } from './support/wait-for.ts';

vi.setConfig({ testTimeout: 120_000 });

interface Tested {
  readonly status: string;
  readonly delivered: boolean;
  readonly failure: { readonly code: string; readonly message: string } | null;
  readonly httpStatus: number | null;
  readonly durationMs: number;
  readonly idempotencyKey: string;
  readonly rolledBack: boolean;
  readonly state: string;
  readonly why: string | null;
  readonly blockedBy: string | null;
}

Runtime.install({ logger: new DefaultLogger('ERROR') });

const NEW_SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const OLD_SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const TOKEN = `canary-${randomBytes(16).toString('hex')}`;

let project: RouteProject;
let sql: pg.Client;
let receiver: HttpReceiver;
beforeAll(async () => {
  receiver = await httpReceiver();
  project = await routeProject({ env: { NEW_SECRET, OLD_SECRET, TOKEN } });
  sql = project.sql;
});
afterAll(async () => {
  await project.close();
  await receiver.close();
});
beforeEach(async () => {
  receiver.received.length = 0;
  receiver.answer(204);
  await project.configure(
    `allow_cidrs: [127.0.0.1/32]
secrets: { new: { env: NEW_SECRET }, old: { env: OLD_SECRET }, gone: { env: NOT_SET } }
external_endpoint: { source: "https://iu.example" }
directus_flow: { base_url: "${receiver.url}", token: { env: TOKEN } }
report: { dir: reports }`,
  );
});

const count = (table: string) => ask<number>(sql, `select count(*)::int as answer from ${table}`);
const set = async (code: string, kind: string, ref: string, config: object = {}) => {
  const run = await project.route(
    ...['set', code, '--domain', 'iu', '--type', 'tried', '--kind', kind, '--ref', ref],
    ...['--route-config', JSON.stringify(config), '--reason', 'a test'],
  );
  if (run.exitCode !== 0) throw new Error(run.stderr);
};
/** Runs `route test`; what it prints holds no secret, and nothing is recorded. */
const tried = async (code: string, ...args: string[]) => {
  const { exitCode, stdout, stderr } = await project.route('test', code, '--json', ...args);
  for (const secret of [NEW_SECRET, OLD_SECRET, TOKEN]) expect(stdout + stderr).not.toContain(secret);
  expect(await count('event_outbox')).toBe(0);
  expect(await count('iu_route_attempt')).toBe(0);
  expect(await count('iu_route_delivery')).toBe(0);
  return { exitCode, stderr, tested: stdout === '' ? null : (JSON.parse(stdout) as Tested) };
};

describe('an external endpoint', () => {
  beforeAll(() =>
    set('partner', 'external_endpoint', `${receiver.url}/hook`, {
      allow_http: true,
      signing_secrets: ['new', 'old'],
    }),
  );

  test('gets one signed CloudEvent that no live event can be taken for, from a route that is not live', async () => {
    const { exitCode, tested } = await tried('partner');
    expect(exitCode).toBe(0);
    expect(tested).toMatchObject({
      status: 'sent',
      delivered: true,
      failure: null,
      httpStatus: 204,
      rolledBack: false,
      state: 'disabled',
      why: 'the route is disabled',
    });
    expect(tested?.blockedBy).toMatch(/iu_core\.delivery_enabled is closed; .*does not name the route/);
    expect(tested?.idempotencyKey).toMatch(/^test:/);
    const [request, ...others] = receiver.received;
    if (request === undefined) throw new Error('nothing was received');
    expect(others).toEqual([]);
    expect(request).toMatchObject({ method: 'POST', path: '/hook' });
    expect(request.headers['webhook-id']).toBe(tested?.idempotencyKey);
    const body = request.body.toString();
    const headers = request.headers as Record<string, string>;
    for (const secret of [NEW_SECRET, OLD_SECRET])
      expect(() => new Webhook(secret).verify(body, headers)).not.toThrow();
    expect(() => new Webhook(OLD_SECRET).verify(`${body} `, headers)).toThrow();
    expect(HTTP.toEvent({ headers, body })).toMatchObject({
      type: 'sluice.test',
      source: 'https://iu.example',
      data: { test: true },
    });
  });

  test('gets the payload that is given, number for number', async () => {
    await tried('partner', '--payload', '{"n": 9007199254740993}');
    expect(receiver.received[0]?.body.toString()).toContain('9007199254740993');
    const refused = await tried('partner', '--payload', '[1]');
    expect(refused).toMatchObject({ exitCode: 2, tested: null });
    expect(receiver.received).toHaveLength(1);
  });

  test('that refuses ends with 3 and its status, and the text for people says the same', async () => {
    receiver.answer(500);
    const { exitCode, tested } = await tried('partner');
    expect(exitCode).toBe(3);
    expect(tested).toMatchObject({ status: 'failed', delivered: false, httpStatus: 500 });
    expect(tested?.failure).toMatchObject({ code: 'http_500' });
    receiver.answer(302, { location: `${receiver.url}/elsewhere` });
    expect((await tried('partner')).tested?.failure).toMatchObject({ code: 'redirect_refused' });
    expect(receiver.received).toHaveLength(2);
    receiver.answer(410);
    const { exitCode: exit, stdout } = await project.route('test', 'partner');
    expect(exit).toBe(3);
    expect(stdout).toMatch(/^failed http_410: [\s\S]*HTTP 410, \d+ ms[\s\S]*not live: the route is disabled/);
    expect(
      await ask(sql, `select disabled_by as answer from iu_outbound_route where route_code = 'partner'`),
    ).toBeNull();
  });

  test('on an address that is not let through is refused and gets nothing', async () => {
    await project.configure(`secrets: { new: { env: NEW_SECRET }, old: { env: OLD_SECRET } }
external_endpoint: { source: "https://iu.example" }`);
    const { exitCode, tested, stderr } = await tried('partner');
    expect(exitCode).toBe(3);
    expect(`${tested?.failure?.code} ${stderr}`).toMatch(/address_refused/);
    expect(receiver.received).toEqual([]);
  });

  test('whose secret does not resolve, or is not configured, is sent nothing unsigned', async () => {
    for (const [names, why] of [
      [['gone'], /NOT_SET/],
      [['nobody'], /nobody/],
    ] as const) {
      await set('partner', 'external_endpoint', `${receiver.url}/hook`, {
        allow_http: true,
        signing_secrets: names,
      });
      const { exitCode, tested, stderr } = await tried('partner');
      expect(exitCode).toBe(3);
      expect(`${tested?.failure?.message} ${stderr}`).toMatch(why);
    }
    expect(receiver.received).toEqual([]);
  });
});

test('a Directus flow gets the event with the token', async () => {
  const flow = '5a0c3f1e-8f2d-4c60-9b32-1d5cf2f0b1aa';
  await set('flow', 'directus_flow', flow, { allow_http: true });
  receiver.answer(200);
  expect(await tried('flow')).toMatchObject({ exitCode: 0, tested: { status: 'sent', httpStatus: 200 } });
  expect(receiver.received).toMatchObject([
    { method: 'POST', path: `/flows/trigger/${flow}`, headers: { authorization: `Bearer ${TOKEN}` } },
  ]);
});

test('a report gets an entry', async () => {
  await set('daily', 'report', 'daily');
  expect(await tried('daily')).toMatchObject({ exitCode: 0, tested: { status: 'sent', delivered: true } });
  const lines = (await readFile(join(project.dir, 'reports/daily.jsonl'), 'utf8')).trim().split('\n');
  expect(lines).toHaveLength(1);
  expect(lines[0]).toMatch(/"test":/);
});

describe('a workflow', () => {
  test('that nobody would run is not started, and one with a worker is and sees the event', async () => {
    await project.configure('workflow: {}');
    const taskQueue = ownTaskQueue('tested');
    await set('started', 'workflow', `${taskQueue}/Echo`);
    const { exitCode, tested, stderr } = await tried('started');
    expect({ exitCode, tested }).toEqual({ exitCode: 3, tested: null });
    expect(stderr).toMatch(/No worker polls task queue/);

    const connection = await NativeConnection.connect({ address: temporalAddress() });
    const worker = await Worker.create({
      connection,
      taskQueue,
      workflowsPath: fileURLToPath(new URL('./delivery-support/delivered-workflows.ts', import.meta.url)),
    });
    const running = worker.run();
    try {
      const started = await waitFor(async () => {
        const run = await tried('started', '--payload', '{"n": 9007199254740993}');
        return run.exitCode === 0 ? run.tested : null;
      }, 60_000);
      expect(started).toMatchObject({ status: 'sent', delivered: true, detail: { first_start: true } });
      const workflowId = `delivery/${started.idempotencyKey}`;
      const client = new Client({ connection: await Connection.connect({ address: temporalAddress() }) });
      expect(JSON.stringify(await client.workflow.getHandle(workflowId).result())).toContain('test:');
      await client.connection.close();
    } finally {
      worker.shutdown();
      await running;
      await connection.close();
    }
  });
});

test('a vector table in a database without the extension is refused clearly', async () => {
  await project.configure(`vector:
  url: { env: TARGET_URL }
  embedding: { url: "https://models.example/v1/embeddings", model: m, dimensions: 3 }`);
  await set('found', 'vector', 'public.piece');
  const { exitCode, tested, stderr } = await tried('found', '--payload', '{"text": "a"}');
  expect({ exitCode, tested }).toEqual({ exitCode: 3, tested: null });
  expect(JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({
    error: { code: 'route_refused', what: expect.stringMatching(/extension/i) },
  });
});

test.each([
  ['external_endpoint', 'https://partner.example/hook'],
  ['directus_flow', '5a0c3f1e-8f2d-4c60-9b32-1d5cf2f0b1aa'],
  ['report', 'unbuilt'],
  ['workflow', 'queue/Type'],
  ['vector', 'app.embedding'],
])('a target of kind %s is not built without its key, and the error names the key', async (kind, ref) => {
  await project.configure('');
  await set(`un.${kind}`, kind, ref, kind === 'external_endpoint' ? { unsigned: true } : {});
  const { exitCode, tested, stderr } = await tried(`un.${kind}`);
  expect({ exitCode, tested }).toEqual({ exitCode: 3, tested: null });
  expect(JSON.parse(stderr.trim().split('\n').at(-1) ?? '')).toMatchObject({
    error: {
      code: 'delivery_not_built',
      what: expect.stringContaining(`targets.${project.target}.delivery.${kind}`),
    },
  });
  expect(await project.json('route', 'show', `un.${kind}`)).toMatchObject({
    built: false,
    builtBy: `targets.${project.target}.delivery.${kind}`,
    fault: null,
  });
  expect(existsSync(join(project.dir, 'reports/unbuilt.jsonl'))).toBe(false);
});

describe('a function of the database', () => {
  const role = `app_owner_${process.pid}`;
  const define = async (name: string, body: string) => {
    await sql.query(
      `create or replace function app.${name}(p_request jsonb) returns jsonb
       language plpgsql security definer set search_path = pg_catalog, app, pg_temp
       as $$ begin ${body} end $$;
       alter function app.${name}(jsonb) owner to ${role};
       grant execute on function app.${name}(jsonb) to iu_core_owner`,
    );
  };
  beforeAll(async () => {
    await sql.query(
      `create role ${role} nologin;
       create schema app authorization ${role};
       grant usage on schema app to iu_core_owner;
       create table app.effect (request jsonb);
       alter table app.effect owner to ${role}`,
    );
    await define('receive', 'insert into app.effect values (p_request); return null;');
    await define('answers', `return '{"status": "skipped", "detail": {"because": "known"}}';`);
    await define('raises', `raise exception 'no room for %', p_request ->> 'idempotency_key';`);
    await define('sleeps', 'perform pg_sleep(60); return null;');
    await define('commits', 'commit; return null;');
    await define('drops', 'drop table public.event_outbox; return null;');
    for (const name of ['receive', 'answers', 'raises', 'sleeps', 'commits', 'drops'])
      await set(`fn.${name}`, 'sql_function', `app.${name}`);
  });

  afterAll(() => sql.query(`drop schema app cascade; drop role ${role}`));

  test('that is not on the list is not called', async () => {
    const { exitCode, tested, stderr } = await tried('fn.receive');
    expect({ exitCode, tested }).toEqual({ exitCode: 3, tested: null });
    expect(stderr).toMatch(/not on the list iu_core\.delivery_functions.*sluice route allow fn\.receive/);
  });

  test('is called as the worker calls it, and what it did is rolled back', async () => {
    await project.json('route', 'allow', 'fn.receive', '--yes', '--reason', 'a test');
    const { exitCode, tested } = await tried('fn.receive', '--payload', '{"n": 9007199254740993}');
    expect(exitCode).toBe(0);
    expect(tested).toMatchObject({ status: 'sent', delivered: true, rolledBack: true });
    expect(await count('app.effect')).toBe(0);
    expect((await project.route('test', 'fn.receive')).stdout).toMatch(
      /in a transaction that was rolled back/,
    );
  });

  test.each([
    ['answers', 'skipped', null, /^$/],
    ['raises', 'failed', 'target_raised', /no room for test:/],
    ['sleeps', 'failed', 'timeout', /statement timeout/],
    ['commits', 'failed', 'target_raised', /invalid transaction termination/],
    ['drops', 'failed', 'target_raised', /must be owner of table event_outbox/],
  ])('that %s is told as %s', async (name, status, failure, why) => {
    await project.json('route', 'allow', `fn.${name}`, '--yes', '--reason', 'a test');
    const { exitCode, tested } = await tried(`fn.${name}`);
    expect(exitCode).toBe(3);
    expect(tested).toMatchObject({ status, delivered: false, rolledBack: true });
    expect(tested?.failure?.code ?? null).toBe(failure);
    expect(tested?.failure?.message ?? '').toMatch(why);
  });
});
