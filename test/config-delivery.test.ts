import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type DeliveryConfig, NO_DELIVERY } from '../config/delivery-config.ts';
import { loadConfig } from '../config/load-config.ts';
import { resolveTargetAccess } from '../config/open-target.ts';
import { problemsOf, rejection } from './fixtures/planning/rejection.ts';
import { writeFiles } from './fixtures/planning/write-macro.ts';

let cwd = '';
beforeEach(async () => {
  cwd = await mkdtemp(path.join(tmpdir(), 'sluice-config-'));
  onTestFinished(() => rm(cwd, { recursive: true, force: true }));
});

const HEAD = 'targets:\n  prod:\n    url: { env: PROD }\n    delivery:\n';
const USER_FILE = 'home/.config/sluice/sluice.yaml';

async function load(delivery: string, user?: string) {
  await writeFiles(cwd, {
    'conf/sluice.yaml': HEAD + delivery,
    ...(user === undefined ? {} : { [USER_FILE]: HEAD + user }),
  });
  return loadConfig({ cwd, env: { HOME: path.join(cwd, 'home'), SLUICE_CONFIG: 'conf/sluice.yaml' } });
}

async function deliveryOf(delivery: string, user?: string): Promise<DeliveryConfig | undefined> {
  return (await load(delivery, user)).targets.prod?.delivery;
}

const EVERY_KEY = `      concurrency: 64
      lease: 90s
      allow_cidrs: [10.0.0.0/8, "fd00:0:0::/8", 127.0.0.1/32]
      secrets:
        partner-2026: { env: PARTNER_SECRET }
        partner.old: { file: secrets/partner }
        other_1: { command: [pass, show, other] }
      external_endpoint: { source: "https://iu.example" }
      directus_flow: { base_url: "https://directus.example/", token: { env: DIRECTUS_TOKEN } }
      workflow: {}
      report: { dir: ./reports }
      vector:
        url: { env: VECTOR_URL }
        embedding:
          url: https://models.example/v1/embeddings
          model: text-embedding-3-small
          dimensions: 1536
          api_key: { file: secrets/key }
`;

describe('targets.<name>.delivery', () => {
  test('allows nothing and builds nothing where it is absent', async () => {
    await writeFiles(cwd, { 'sluice.yaml': 'targets: { prod: { url: { env: PROD } } }\n' });
    const config = await loadConfig({ cwd, env: { HOME: path.join(cwd, 'home') } });
    expect(config.targets.prod?.delivery).toEqual(NO_DELIVERY);
    expect(NO_DELIVERY).toMatchObject({ concurrency: 32, leaseMs: 60_000, allowCidrs: [], secrets: {} });
  });

  test('takes every key, with paths relative to its file and secrets as references', async () => {
    const folder = path.join(cwd, 'conf');
    expect(await deliveryOf(EVERY_KEY)).toEqual({
      concurrency: 64,
      leaseMs: 90_000,
      allowCidrs: ['10.0.0.0/8', 'fd00::/8', '127.0.0.1/32'],
      secrets: {
        'partner-2026': { kind: 'env', name: 'PARTNER_SECRET' },
        'partner.old': { kind: 'file', path: path.join(folder, 'secrets/partner') },
        other_1: { kind: 'command', argv: ['pass', 'show', 'other'], cwd: folder },
      },
      externalEndpoint: { source: 'https://iu.example' },
      directusFlow: {
        baseUrl: 'https://directus.example',
        token: { kind: 'env', name: 'DIRECTUS_TOKEN' },
      },
      workflow: {},
      report: { dir: path.join(folder, 'reports') },
      vector: {
        url: { kind: 'env', name: 'VECTOR_URL' },
        embedding: {
          url: 'https://models.example/v1/embeddings',
          model: 'text-embedding-3-small',
          dimensions: 1536,
          apiKey: { kind: 'file', path: path.join(folder, 'secrets/key') },
        },
      },
    });
  });

  test('builds a kind only where its key is, with what may be left out left out', async () => {
    expect(
      await deliveryOf(
        `      directus_flow: { base_url: "http://directus.example/base" }
      vector: { url: "postgresql://v@h/d", embedding: { url: "https://e.example", model: m, dimensions: 1 } }
`,
      ),
    ).toEqual({
      ...NO_DELIVERY,
      directusFlow: { baseUrl: 'http://directus.example/base', token: null },
      vector: {
        url: { kind: 'plain', url: 'postgresql://v@h/d' },
        embedding: { url: 'https://e.example', model: 'm', dimensions: 1, apiKey: null },
      },
    });
  });

  test('is merged value by value, secrets by name, and a kind as a whole', async () => {
    const config = await load(
      '      concurrency: 4\n      secrets: { a: { env: OF_PROJECT } }\n      report: { dir: mine }\n',
      '      concurrency: 8\n      lease: 5s\n      secrets: { a: { env: OF_USER }, b: { file: b } }\n      report: { dir: theirs }\n',
    );
    const folder = path.join(cwd, 'home/.config/sluice');
    expect(config.targets.prod?.delivery).toEqual({
      ...NO_DELIVERY,
      concurrency: 4,
      leaseMs: 5_000,
      secrets: { a: { kind: 'env', name: 'OF_PROJECT' }, b: { kind: 'file', path: path.join(folder, 'b') } },
      report: { dir: path.join(cwd, 'conf/mine') },
    });
    expect(Object.fromEntries(config.origins)).toMatchObject({
      'targets.prod.delivery.concurrency': {
        layer: 'project',
        source: `${path.join(cwd, 'conf/sluice.yaml')}:5:7`,
      },
      'targets.prod.delivery.lease': { layer: 'user' },
      'targets.prod.delivery.secrets.b': { layer: 'user' },
      'targets.prod.delivery.workflow': { layer: 'default' },
    });
  });

  test('reaches activities and commands without resolving any secret', async () => {
    const config = await load(EVERY_KEY);
    const env = { PROD: 'postgresql://u@h/d', PARTNER_SECRET: 'hunter2', DIRECTUS_TOKEN: 'hunter2' };
    const access = await resolveTargetAccess(config, 'prod', { env });
    expect(access.delivery).toEqual(config.targets.prod?.delivery);
    expect(JSON.stringify(access)).not.toContain('hunter2');
  });
});

describe('a fault in it is named by line and column', () => {
  const problems = (delivery: string) => problemsOf(load(delivery));

  test.each([
    ['concurency: 3', '5:7', 'Unknown key `concurency`.', /Did you mean `concurrency`/],
    ['concurrency: 0', '5:20', '`targets.prod.delivery.concurrency` is not valid.', /1 to 256/],
    ['concurrency: 257', '5:20', '`targets.prod.delivery.concurrency` is not valid.', /1 to 256/],
    ['concurrency: 1.5', '5:20', /wrong type|not valid/, /whole number/],
    ['lease: 1 minute', '5:14', '`targets.prod.delivery.lease` is not valid.', /ms, s, m or h/],
    ['lease: 999ms', '5:14', 'Use a duration from 1s to 1h.', /from 1s to 1h/],
    ['lease: 2h', '5:14', 'Use a duration from 1s to 1h.', /from 1s to 1h/],
    ['allow_cidrs: 10.0.0.0/8', '5:20', /wrong type/, /list/],
    [
      'allow_cidrs: [10.0.0.0]',
      '5:21',
      '`10.0.0.0` is no range of addresses in CIDR notation.',
      /10\.0\.0\.0\/8/,
    ],
    ['allow_cidrs: [10.0.0.0/33]', '5:21', /no range of addresses/, /fd00::\/8/],
    ['allow_cidrs: [ten/8]', '5:21', /no range of addresses/, /fd00::\/8/],
    ['allow_cidrs: [0x0a.0.0.0/8]', '5:21', /no range of addresses/, /fd00::\/8/],
    ['allow_cidrs: [010.0.0.0/8]', '5:21', /another way than four decimal numbers/, /fd00::\/8/],
    ['allow_cidrs: [10.1/16]', '5:21', /another way than four decimal numbers/, /fd00::\/8/],
    [
      'allow_cidrs: [10.0.0.1/8]',
      '5:21',
      '`10.0.0.1/8` has bits set behind its prefix.',
      /^Use 10\.0\.0\.0\/8\.$/,
    ],
    ['allow_cidrs: [0.0.0.0/0]', '5:21', '`0.0.0.0/0` lets every address through.', /network/],
    ['allow_cidrs: ["::/0"]', '5:21', '`::/0` lets every address through.', /network/],
    ['allow_cidrs: ["::ffff:10.0.0.0/104"]', '5:21', /IPv4 in the clothes of IPv6/, /network/],
    ['secrets: { "a b": { env: A } }', '5:25', /not valid/, /Name a secret with letters/],
    ['secrets: { a: { env: A-B } }', '5:28', /not valid/, /name of a variable/],
    ['secrets: { a: { vault: x } }', '5:21', /not understood/, /\{ env: NAME \}/],
    ['external_endpoint: {}', '5:26', '`targets.prod.delivery.external_endpoint.source` is missing.', /text/],
    ['external_endpoint: { source: nowhere }', '5:36', 'This is no URI.', /https:\/\/iu\.example/],
    ['external_endpoint: { source: "https://a b" }', '5:36', 'This is no URI.', /URI/],
    [
      'directus_flow: { token: { env: A } }',
      '5:22',
      '`targets.prod.delivery.directus_flow.base_url` is missing.',
      /text/,
    ],
    ['directus_flow: { base_url: "ftp://h" }', '5:34', 'The text is no URL of a service.', /https/],
    ['directus_flow: { base_url: "https://h/?a=b" }', '5:34', 'The URL has a query or a fragment.', /https/],
    ['workflow: { queue: x }', '5:19', 'Unknown key `queue`.', /Known keys here/],
    ['workflow: yes please', '5:17', /wrong type/, /mapping/],
    ['report: { dir: "" }', '5:22', /not valid/, /relative to the folder/],
    [
      'vector: { url: { env: A } }',
      '5:15',
      '`targets.prod.delivery.vector.embedding` is missing.',
      /mapping/,
    ],
    [
      'vector: { url: { env: A }, embedding: { url: "https://e", model: m, dimensions: 20000 } }',
      '5:87',
      /not valid/,
      /1 to 16000/,
    ],
  ])('%s', async (line, place, what, expected) => {
    const [problem, ...others] = await problems(`      ${line}\n`);
    expect(others).toEqual([]);
    expect(problem).toMatchObject({ place: `sluice.yaml:${place}`, code: 'configuration_invalid' });
    if (typeof what === 'string') expect(problem?.what).toBe(what);
    else expect(problem?.what).toMatch(what);
    expect(problem?.expected).toMatch(expected);
  });

  test.each([
    'secrets: { a: hunter2 }',
    'secrets: { a: { secret: hunter2 } }',
    'directus_flow: { base_url: "https://h", token: hunter2 }',
    'directus_flow: { base_url: "https://u:hunter2@h" }',
    'vector: { url: "postgresql://u:hunter2@h/d", embedding: { url: "https://e", model: m, dimensions: 3 } }',
    'vector: { url: { env: A }, embedding: { url: "https://hunter2@e", model: m, dimensions: 3 } }',
    'vector: { url: { env: A }, embedding: { url: "https://e", model: m, dimensions: 3, api_key: hunter2 } }',
  ])('a secret itself is refused and not repeated: %s', async (line) => {
    const error = await rejection(load(`      ${line}\n`));
    expect(error.code).toBe('configuration_invalid');
    expect(error.message).toMatch(/sluice\.yaml:5:\d+: /);
    expect(JSON.stringify(error) + error.stack).not.toContain('hunter2');
  });
});
