import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import { type DeliveryConfig, NO_DELIVERY } from '../config/delivery-config.ts';
import { buildRegistry, closeRegistry, configuredKinds } from '../delivery/build-registry.ts';
import {
  type DeliveryRegistry,
  dispatchDelivery,
  resolveDeliveryTarget,
  seamIsFailClosed,
} from '../delivery/delivery-registry.ts';
import type { DeliveryRequest } from '../delivery/delivery-request.ts';
import { routeFault } from '../delivery/route-fault.ts';
import { rejection } from './fixtures/planning/rejection.ts';
import { type HttpReceiver, httpReceiver } from './route-support/http-receiver.ts';
import { temporalAddress } from './support/temporal-address.ts';

let receiver: HttpReceiver;
beforeEach(async () => {
  receiver = await httpReceiver();
});
afterEach(() => receiver.close());

const whsec = () => `whsec_${randomBytes(32).toString('base64')}`;
const request = (targetRef: string): DeliveryRequest => ({
  routeCode: 'partner',
  eventRef: '01890a5d-ac96-774b-bcce-b302099a8057',
  targetKind: 'external_endpoint',
  targetRef,
  idempotencyKey: '01890a5d-ac96-774b-bcce-b302099a8057:partner',
  safePayload: '{}',
  event: {
    domain: 'iu',
    type: 'tried',
    subject: null,
    subjectSeq: null,
    createdAt: '2026-01-01T00:00:00.000000Z',
  },
});
const attempt = (config = {}) => ({ signal: AbortSignal.timeout(60_000), config });
const builtOf = (registry: DeliveryRegistry) =>
  [...registry.values()].filter(({ isBuilt }) => isBuilt).map(({ kind }) => kind);
const build = (
  config: Partial<DeliveryConfig>,
  env: NodeJS.ProcessEnv = {},
  temporal: Client | null = null,
) => {
  const registry = buildRegistry({ ...NO_DELIVERY, ...config }, { temporal, env });
  onTestFinished(() => closeRegistry(registry));
  return registry;
};
const EVERY_KIND: DeliveryConfig = {
  ...NO_DELIVERY,
  secrets: { partner: { kind: 'env', name: 'NOT_SET' } },
  externalEndpoint: { source: 'https://iu.example' },
  directusFlow: { baseUrl: 'https://directus.example', token: { kind: 'env', name: 'NOT_SET' } },
  workflow: {},
  report: { dir: join(tmpdir(), 'no-such-folder-of-reports') },
  vector: {
    url: { kind: 'env', name: 'NOT_SET' },
    embedding: {
      url: 'https://models.example',
      model: 'm',
      dimensions: 3,
      apiKey: { kind: 'env', name: 'NOT_SET' },
    },
  },
};

test('without configuration nothing is built', () => {
  const registry = build({});
  expect(seamIsFailClosed(registry)).toBe(true);
  expect(configuredKinds(NO_DELIVERY)).toEqual([]);
});

test('each kind is built by its own key alone, and no secret is resolved for it', async () => {
  const connection = Connection.lazy({ address: temporalAddress() });
  onTestFinished(() => connection.close());
  const client = new Client({ connection });
  const kinds = {
    externalEndpoint: 'external_endpoint',
    directusFlow: 'directus_flow',
    workflow: 'workflow',
    report: 'report',
    vector: 'vector',
  } as const;
  for (const [key, kind] of Object.entries(kinds)) {
    const config = { [key]: Reflect.get(EVERY_KIND, key) };
    const registry = build(config, {}, client);
    expect(builtOf(registry)).toEqual([kind]);
    expect(configuredKinds({ ...NO_DELIVERY, ...config })).toEqual([kind]);
    expect(seamIsFailClosed(registry)).toBe(false);
  }
  expect(builtOf(build(EVERY_KIND, {}, client))).toEqual([
    'workflow',
    'vector',
    'report',
    'directus_flow',
    'external_endpoint',
  ]);
});

test('workflows stay unbuilt where no Temporal is given', () => {
  expect(builtOf(build(EVERY_KIND))).not.toContain('workflow');
});

test('the rules of built targets are those by which routes are judged', () => {
  const registry = build({ ...EVERY_KIND, workflow: null });
  for (const [kind, target] of registry) {
    if (!target.isBuilt) continue;
    for (const ref of [
      'x',
      'app.piece',
      'https://partner.example/',
      '5a0c3f1e-8f2d-4c60-9b32-1d5cf2f0b1aa',
      '',
    ])
      for (const config of [{}, { colour: 'red' }, { timeout_ms: 1 }])
        expect(routeFault(kind, ref, config)).toBe(target.fault(ref, config)?.replace(/\.$/, '') ?? null);
  }
});

test('a secret is resolved when it is used, by its name in delivery.secrets only', async () => {
  const env: NodeJS.ProcessEnv = { OTHER: whsec() };
  const registry = build(
    {
      allowCidrs: ['127.0.0.1/32'],
      externalEndpoint: { source: 'https://iu.example' },
      secrets: { partner: { kind: 'env', name: 'PARTNER' } },
    },
    env,
  );
  const send = (name: string) =>
    dispatchDelivery(registry, request(receiver.url), attempt({ allow_http: true, signing_secrets: [name] }));
  expect(await send('partner')).toMatchObject({
    status: 'failed',
    failure: { code: 'secret_unresolved', mayRetry: true },
  });
  for (const name of ['OTHER', 'constructor'])
    expect(await send(name)).toMatchObject({ failure: { code: 'secret_unresolved' } });
  expect(receiver.received).toEqual([]);
  env.PARTNER = whsec();
  expect(await send('partner')).toMatchObject({ status: 'sent' });
  const [got] = receiver.received;
  expect(() =>
    new Webhook(env.PARTNER ?? '').verify(got?.body.toString() ?? '', got?.headers as Record<string, string>),
  ).not.toThrow();
});

test('only ranges that are allowed are reached, and a closed registry reaches nothing', async () => {
  const externalEndpoint = { source: 'https://iu.example' };
  const send = (registry: DeliveryRegistry) =>
    dispatchDelivery(registry, request(receiver.url), attempt({ allow_http: true }));
  expect(await send(build({ externalEndpoint }))).toMatchObject({ failure: { code: 'address_refused' } });
  const allowed = buildRegistry(
    { ...NO_DELIVERY, externalEndpoint, allowCidrs: ['127.0.0.0/8'] },
    { temporal: null, env: {} },
  );
  expect(await send(allowed)).toMatchObject({ status: 'sent' });
  await closeRegistry(allowed);
  const afterwards = await send(allowed).catch(() => null);
  expect(afterwards?.status).not.toBe('sent');
  expect(receiver.received).toHaveLength(1);
});

test('reports go to the configured folder, and what is no range of addresses is refused', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'sluice-reports-'));
  onTestFinished(() => rm(dir, { recursive: true }));
  const registry = build({ report: { dir } });
  const target = resolveDeliveryTarget(registry, 'report');
  await target.deliver({ ...request('daily'), targetKind: 'report' }, attempt());
  expect(await readdir(dir)).toContain('daily.jsonl');
  expect((await rejection(Promise.resolve().then(() => build({ allowCidrs: ['everything'] })))).code).toBe(
    'configuration_invalid',
  );
});
