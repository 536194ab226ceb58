import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { DELIVERY_TARGET_KINDS } from '../delivery/delivery-target-kind.ts';
import { literalSecretIn } from '../delivery/literal-secret.ts';
import { routeFault } from '../delivery/route-fault.ts';
import { type RouteProject, routeProject, setDeliveryGate } from './route-support/route-project.ts';
import { ask } from './sql-worker/support/worker.ts';

vi.setConfig({ testTimeout: 120_000 });

const CANARY = `canary-${randomBytes(12).toString('hex')}`;
const because = ['--yes', '--reason', 'a test'];

let project: RouteProject;
let sql: pg.Client;
beforeAll(async () => {
  project = await routeProject();
  sql = project.sql;
  await project.configure(`secrets: { there: { env: THERE }, missing: { env: NOT_SET } }
external_endpoint: { source: "https://iu.example" }
report: { dir: reports }`);
});
afterAll(() => project.close());

const routes = () => ask<number>(sql, 'select count(*)::int as answer from iu_outbound_route');
const setting = (...args: string[]) =>
  project.route('set', 'bad', '--domain', 'iu', '--type', 'tried', '--reason', 'a test', ...args);
const REPORT = ['--kind', 'report', '--ref', 'daily'];
const ENDPOINT = ['--kind', 'external_endpoint', '--ref', 'https://partner.example/hook'];

test.each([
  ['show', 'nobody'],
  ['enable', 'nobody', ...because],
  ['disable', 'nobody', ...because],
  ['allow', 'nobody', ...because],
  ['allow', 'nobody', '--remove', ...because],
  ['live', 'nobody', ...because],
  ['dry-run', 'nobody', '--recall', ...because],
  ['test', 'nobody'],
])('%s of a route that is unknown ends with 7 and names those there are', async (...args) => {
  const { exitCode, stdout, stderr } = await project.route(...args);
  expect({ exitCode, stdout }).toEqual({ exitCode: 7, stdout: '' });
  expect(stderr).toMatch(
    /There is no route `nobody`\.[\s\S]*iu_version_applied[\s\S]*\(route_not_found, exit 7\)/,
  );
});

test.each([
  [['--kind', 'carrier_pigeon', '--ref', 'x'], 2, /carrier_pigeon.*sql_function, workflow, vector/],
  [['--kind', 'report'], 2, /There is no route bad yet, and --ref is missing/],
  [[...REPORT, '--domain', 'with space'], 2, /--domain is empty or holds white space/],
  [[...REPORT, '--after-dead-letter', 'panic'], 2, /block, skip/],
  [[...REPORT, '--route-config', '[]'], 2, /not a JSON object/],
  [[...REPORT, '--route-config', `{"token": "${CANARY}"`], 2, /not a JSON object/],
  [[...REPORT, '--route-config', '{}', '--route-config-file', 'x.json'], 2, /given twice/],
  [[...REPORT, '--route-config-file', 'nowhere.json'], 2, /nowhere\.json cannot be read \(ENOENT\)/],
  [[...REPORT, '--filter', '$.a ? ('], 3, /The filter is no JSON path/],
  [[...REPORT, '--route-config', '{"timeout": 1}'], 3, /Unknown key `timeout`/],
  [[...REPORT, '--route-config', '{"timeout_ms": 1}'], 3, /timeout_ms/],
  [[...ENDPOINT, '--route-config', '{"headers": {"x-a": "b\\r\\nx-c: d"}}'], 3, /visible ASCII/],
  [[...ENDPOINT, '--route-config', '{"signing_secrets": []}'], 3, /one or two names/],
  [ENDPOINT, 3, /signing_secrets, or say unsigned: true/],
  [
    [...ENDPOINT, '--route-config', `{"headers": {"x-api-key": "${CANARY}"}}`],
    3,
    /`config\.headers\.x-api-key` looks like/,
  ],
  [[...ENDPOINT, '--route-config', `{"token": "${CANARY}"}`], 3, /`config\.token` looks like a secret/],
  [
    [...ENDPOINT, '--route-config', `{"signing_secrets": ["whsec_${CANARY}"]}`],
    3,
    /`config\.signing_secrets\.0` looks like/,
  ],
  [
    ['--kind', 'external_endpoint', '--ref', `https://u:${CANARY}@partner.example/`],
    3,
    /Route bad is refused/,
  ],
])('set %j is refused with %i', async (args, code, why) => {
  const before = await routes();
  const { exitCode, stdout, stderr } = await setting(...args);
  expect({ exitCode, stdout }).toEqual({ exitCode: code, stdout: '' });
  expect(stderr).toMatch(why);
  expect(stderr).toMatch(/Nothing was (?:changed|written)/);
  expect(stderr).not.toContain(CANARY);
  expect(await routes()).toBe(before);
});

test.each(['Upper', '-dash', 'a:b', 'ü', 'a'.repeat(101), ''])('the code `%s` is refused', async (code) => {
  const { exitCode, stderr } = await project.route('set', '--reason', 'a test', ...REPORT, '--', code);
  expect(exitCode).toBe(2);
  expect(stderr).toMatch(/code of the route is not plain/);
});

test.each([
  [
    'sql_function',
    ['app.receive', '_a.b$1'],
    ['receive', 'app.receive()', 'App.receive', 'app.receive; drop table x', 'a.b.c', ''],
  ],
  ['workflow', ['queue/Type', 'iu-queue/onVersionApplied'], ['queue', '/Type', 'queue/', 'a b/c', '']],
  ['vector', ['app.embedding'], ['embedding', 'app.embedding; drop', '"a"."b"', 'a.b.c', '']],
  ['report', ['daily', '0-a_b'], ['Daily', '../daily', 'a/b', '.', '-a', 'a'.repeat(65), '']],
  [
    'directus_flow',
    ['5a0c3f1e-8f2d-4c60-9b32-1d5cf2f0b1aa'],
    ['5A0C3F1E-8F2D-4C60-9B32-1D5CF2F0B1AA', '5a0c3f1e', '../users', ''],
  ],
  [
    'external_endpoint',
    ['https://partner.example/hook', 'https://partner.example:8443/hook?a=b'],
    [
      'http://partner.example/',
      'ftp://partner.example/',
      'file:///etc/passwd',
      'https://user@partner.example/',
      'https://u:p@partner.example/',
      'partner.example',
      'https://',
      '',
    ],
  ],
] as const)('a target_ref of kind %s is judged without any configuration', (kind, good, bad) => {
  const config = kind === 'external_endpoint' ? { unsigned: true } : {};
  for (const ref of good) expect({ ref, fault: routeFault(kind, ref, config) }).toEqual({ ref, fault: null });
  for (const ref of bad) {
    const fault = routeFault(kind, ref, config);
    expect({ ref, fault }).toEqual({ ref, fault: expect.stringMatching(/^[^\n]*[^.\n]$/) });
  }
});

test.each(DELIVERY_TARGET_KINDS)('an unknown key in the config of kind %s is a fault', (kind) => {
  const good = {
    sql_function: 'app.receive',
    workflow: 'queue/Type',
    vector: 'app.embedding',
    report: 'daily',
    directus_flow: '5a0c3f1e-8f2d-4c60-9b32-1d5cf2f0b1aa',
    external_endpoint: 'https://partner.example/hook',
  }[kind];
  expect(routeFault(kind, good, kind === 'external_endpoint' ? { unsigned: true } : {})).toBeNull();
  expect(routeFault(kind, good, { colour: 'red' })).toMatch(/colour/);
});

test('an unknown kind is a fault, whatever its target', () => {
  expect(routeFault('carrier_pigeon', 'x', {})).toMatch(/Kind `carrier_pigeon` of a target is unknown/);
});

test.each<[Record<string, unknown>, string | null]>([
  [{ signing_secrets: ['partner-2026'], headers: { 'x-tenant': 'a' }, timeout_ms: 1000 }, null],
  [{ text_path: '$.body.text', retry: { schedule: ['0s', '5s'] } }, null],
  [{ headers: { 'x-monkey': 'a', accept: 'token' } }, null],
  [{ token: '' }, null],
  [{ secret: 'x' }, 'config.secret'],
  [{ auth_token: 'x' }, 'config.auth_token'],
  [{ nested: [{ password: 'x' }] }, 'config.nested.0.password'],
  [{ credentials: { user: 'x' } }, 'config.credentials.user'],
  [{ headers: { Authorization: 'x' } }, 'config.headers.Authorization'],
  [{ headers: { 'X-Access-Token': 'x' } }, 'config.headers.X-Access-Token'],
  [{ headers: { 'x-anything': 'Bearer abc' } }, 'config.headers.x-anything'],
  [{ description: 'whsec_abc' }, 'config.description'],
  [{ url: 'https://u:p@h/' }, 'config.url'],
  [{ key: '-----BEGIN PRIVATE KEY-----' }, 'config.key'],
])('a secret itself in %j is found at %s', (config, at) => {
  expect(literalSecretIn(config)).toBe(at);
});

test('a route cannot go live with what its target, its config or its secret lacks', async () => {
  await setDeliveryGate(sql, true);
  const ready = async (code: string, kind: string, ref: string, config: object = {}) => {
    await sql.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, config, enabled)
       values ($1, 'iu', 'tried', $2, $3, $4, true)`,
      [code, kind, ref, JSON.stringify(config)],
    );
    await project.json('route', 'allow', code, ...because);
  };
  const refused = async (code: string, why: RegExp, expected: RegExp) => {
    const { exitCode, stdout, stderr } = await project.route('live', code, ...because);
    expect({ exitCode, stdout }).toEqual({ exitCode: 3, stdout: '' });
    expect(stderr).toMatch(why);
    expect(stderr).toMatch(expected);
    expect(
      await ask(sql, 'select dry_run as answer from iu_outbound_route where route_code = $1', [code]),
    ).toBe(true);
  };
  await ready('unbuilt', 'workflow', 'queue/Type');
  await refused('unbuilt', /kind workflow is not built here/, /targets\.\w+\.delivery\.workflow/);
  await ready('malformed', 'report', '../etc');
  await refused('malformed', /name of a report/, /sluice route set malformed/);
  await ready('misspelt', 'report', 'daily', { timeout: 1 });
  await refused('misspelt', /Unknown key/, /sluice route set misspelt/);
  await ready('unsigned', 'external_endpoint', 'https://partner.example/', { signing_secrets: ['missing'] });
  await refused('unsigned', /NOT_SET is not set/, /sluice\.yaml/);
  await ready('unnamed', 'external_endpoint', 'https://partner.example/', { signing_secrets: ['nobody'] });
  await refused('unnamed', /no secret `nobody`/, /there, missing/);
  await ready('function', 'sql_function', 'app.nothing');
  await refused('function', /there is no function app\.nothing\(jsonb\)/, /what the database asks for/);
  await writeFile(join(project.dir, 'reports'), 'a file in the place of the folder');
  await ready('unwritable', 'report', 'daily');
  await refused('unwritable', /report cannot be written/, /folder/);
});

test('verbs that change something name the flags that they miss', async () => {
  for (const args of [
    ['enable', 'iu_version_applied'],
    ['disable', 'iu_version_applied'],
    ['allow', 'iu_version_applied'],
    ['dry-run', 'iu_version_applied'],
    ['set', 'iu_version_applied', '--description', 'x'],
  ]) {
    const { exitCode, stderr } = await project.route(...args, '--yes');
    expect({ args, exitCode }).toEqual({ args, exitCode: 2 });
    expect(stderr).toMatch(/--reason is missing/);
  }
});

test('without the delivery seam, verbs that need it name the macro, and the others work', async () => {
  const bare = await routeProject({ seam: false });
  for (const args of [
    ['allow', 'iu_version_applied', ...because],
    ['live', 'iu_version_applied', ...because],
    ['dry-run', 'iu_version_applied', '--recall', ...because],
  ]) {
    const { exitCode, stderr } = await bare.route(...args);
    expect({ args, exitCode }).toEqual({ args, exitCode: 3 });
    expect(stderr).toMatch(/delivery seam is not built[\s\S]*delivery-seam[\s\S]*iu_core_missing/);
  }
  expect(await bare.json('route', 'list')).toMatchObject([{ code: 'iu_version_applied', breaker: null }]);
  await bare.json(
    'route',
    'set',
    'fn',
    '--domain',
    'iu',
    '--type',
    'x',
    '--kind',
    'sql_function',
    '--ref',
    'a.b',
    '--reason',
    'r',
  );
  expect(await bare.json('route', 'show', 'fn')).toMatchObject({ built: false, builtBy: null });
  expect((await bare.route('test', 'fn')).stderr).toMatch(/delivery seam is not built/);
  await bare.close();
});
