import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import { SluiceError } from '../../contracts/error-codes.ts';
import { directusFlowTarget } from '../../delivery/directus-flow-target.ts';
import { externalEndpointTarget } from '../../delivery/external-endpoint-target.ts';
import { rememberedSecrets } from '../../delivery/remembered-secrets.ts';
import { readSigningKey, signWebhook } from '../../delivery/sign-webhook.ts';
import { rejection } from '../fixtures/planning/rejection.ts';
import { deliver, FLOW_ID, localGuard, requestOf, secretsNamed } from './support/deliveries.ts';
import { receiver } from './support/receiver.ts';

const CANARY = 'canary-3f9a7c1e5b2d';
const SECRET = `whsec_${Buffer.from(CANARY.padEnd(32, '.')).toString('base64')}`;
const SIGNED = { allow_http: true, signing_secrets: ['partner-2026'] };

const targetOf = (resolveSecretNamed: (name: string) => Promise<string>) =>
  externalEndpointTarget({ source: 'https://iu.example' }, { guard: localGuard(), resolveSecretNamed });

describe('a secret that cannot be had', () => {
  const notSet = new SluiceError('configuration_invalid', {
    what: 'A secret cannot be had: the variable PARTNER_SECRET is not set.',
    expected: 'Correct the reference in sluice.yaml.',
    safe: 'Nothing was changed.',
  });

  test.each([
    ['is not set', async () => Promise.reject(notSet), /the variable PARTNER_SECRET is not set/],
    ['raises who knows what', async () => Promise.reject(new Error(CANARY)), /cannot be resolved/],
    ['is no secret of Standard Webhooks', async () => CANARY, /no secret of Standard Webhooks/],
    [
      'has a key too short',
      async () => `whsec_${Buffer.from(CANARY).toString('base64')}`,
      /Standard Webhooks/,
    ],
    ['is of another base64', async () => `whsec_${'_'.repeat(43)}=`, /Standard Webhooks/],
  ])('may be tried again, names the reference and never the value: %s', async (_, resolve, why) => {
    const endpoint = await receiver();
    const outcome = await deliver(targetOf(resolve), requestOf({ targetRef: endpoint.url }), SIGNED);
    expect(outcome.failure).toMatchObject({ code: 'secret_unresolved', mayRetry: true });
    expect(outcome.failure?.message).toMatch(why);
    expect(outcome.failure?.message).toContain('`partner-2026`');
    expect(JSON.stringify(outcome)).not.toContain(CANARY);
    expect(endpoint.received).toEqual([]);
  });

  test('is found before anything is delivered', async () => {
    const target = targetOf(secretsNamed({}));
    const url = 'https://partner.example/';
    const error = await rejection(Promise.resolve(target.inspect?.(url, SIGNED, AbortSignal.timeout(1_000))));
    expect(error.message).toContain('`partner-2026`');
    await expect(
      target.inspect?.(url, { unsigned: true }, AbortSignal.timeout(1_000)),
    ).resolves.toBeUndefined();
    const refused = await rejection(
      Promise.resolve(target.inspect?.('nowhere', {}, AbortSignal.timeout(1_000))),
    );
    expect(refused.code).toBe('route_refused');
  });
});

describe('a remembered secret', () => {
  test('is asked for once a minute, and once by all who ask together', async () => {
    let now = 0;
    let asked = 0;
    const secrets = rememberedSecrets(
      async (name) => {
        asked += 1;
        return `${name} ${asked}`;
      },
      (secret) => secret,
      () => now,
    );
    expect(await Promise.all([secrets.get('a'), secrets.get('a')])).toEqual(['a 1', 'a 1']);
    now = 59_999;
    expect(await secrets.get('a')).toBe('a 1');
    now = 60_000;
    expect(await secrets.get('a')).toBe('a 2');
    expect(await secrets.get('b')).toBe('b 3');
    secrets.forget('a');
    expect(await secrets.get('a')).toBe('a 4');
  });

  test('is asked for again at once after a failure', async () => {
    let asked = 0;
    const secrets = rememberedSecrets(
      async () => {
        asked += 1;
        return asked === 1 ? Promise.reject(new Error('no')) : 'yes';
      },
      (secret) => secret,
    );
    await expect(secrets.get('a')).rejects.toThrow('`a` cannot be used');
    expect(await secrets.get('a')).toBe('yes');
  });
});

describe('what an endpoint echoes', () => {
  test('brings neither secret, token nor payload into the record', async () => {
    const endpoint = await receiver(({ headers, body }) => ({
      status: 500,
      body: `${JSON.stringify(headers)} ${body.toString('utf8')}`,
    }));
    const safePayload = JSON.stringify({ note: `${CANARY} in the payload` });
    const signed = await deliver(
      targetOf(async () => SECRET),
      requestOf({ targetRef: endpoint.url, safePayload }),
      SIGNED,
    );
    const flow = directusFlowTarget(
      { baseUrl: endpoint.url, token: async () => CANARY },
      { guard: localGuard() },
    );
    const triggered = await deliver(flow, requestOf({ targetKind: 'directus_flow', targetRef: FLOW_ID }));
    expect(endpoint.received).toHaveLength(2);
    expect(JSON.stringify([signed, triggered])).not.toContain(CANARY);
    expect(JSON.stringify([signed, triggered])).not.toContain(SECRET);
    expect([signed, triggered].map(({ detail }) => 'answer_excerpt' in detail)).toEqual([false, false]);
  });

  test.each([
    ['at the start', (canary: string) => canary],
    ['across the end of the excerpt', (canary: string) => 'x'.repeat(190) + canary],
    ['across the end of what is read for it', (canary: string) => ' '.repeat(790) + canary],
  ])('is seen wherever it stands: %s', async (_, body) => {
    const endpoint = await receiver(() => ({ status: 500, body: body(CANARY) }));
    const flow = directusFlowTarget(
      { baseUrl: endpoint.url, token: async () => CANARY },
      { guard: localGuard() },
    );
    const { detail } = await deliver(flow, requestOf({ targetKind: 'directus_flow', targetRef: FLOW_ID }));
    expect(detail).not.toHaveProperty('answer_excerpt');
  });

  test('brings no key that is in the URL into the record, while a plain path may be named', async () => {
    const endpoint = await receiver(({ path }) => ({ status: 404, body: `Cannot POST ${path}` }));
    const excerptAt = async (path: string) =>
      (
        await deliver(
          targetOf(async () => SECRET),
          requestOf({ targetRef: `${endpoint.url}${path}` }),
        )
      ).detail.answer_excerpt;
    expect(await excerptAt(`/hooks/${CANARY}`)).toBeUndefined();
    expect(await excerptAt(`/?key=${CANARY}`)).toBeUndefined();
    expect(await excerptAt('/hook')).toBe('Cannot POST /hook');
  });

  test('is cut to 200 characters without controls, when it is a plain error', async () => {
    const body = `No \u001b[31mstock\u0000\r\nleft\u202e.${' why'.repeat(100)}`;
    const endpoint = await receiver(() => ({ status: 422, body }));
    const { detail } = await deliver(
      targetOf(async () => SECRET),
      requestOf({ targetRef: endpoint.url }),
      SIGNED,
    );
    const excerpt = String(detail.answer_excerpt);
    expect(excerpt).toMatch(/^No \[31mstock left \. why why/);
    expect(excerpt).toHaveLength(200);
  });

  test('is not kept of an answer that says yes, nor of one that is compressed', async () => {
    const endpoint = await receiver(({ path }) =>
      path === '/yes'
        ? { body: 'thanks' }
        : { status: 500, headers: { 'content-encoding': 'br' }, body: 'x' },
    );
    for (const path of ['/yes', '/no']) {
      const { detail } = await deliver(
        targetOf(async () => SECRET),
        requestOf({ targetRef: `${endpoint.url}${path}` }),
      );
      expect(detail).not.toHaveProperty('answer_excerpt');
      expect(detail.answer_bytes).toBeGreaterThan(0);
    }
  });
});

test('a signature is the one that the library of Standard Webhooks makes', () => {
  const webhook = { id: 'event:route', timestamp: 1_700_000_000, body: Buffer.from('{"ż":"🙂"}') };
  const library = new Webhook(SECRET).sign(webhook.id, new Date(webhook.timestamp * 1_000), webhook.body);
  expect(signWebhook(webhook, [readSigningKey(SECRET)])).toBe(library);
});
