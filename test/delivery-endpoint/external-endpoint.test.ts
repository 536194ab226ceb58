import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HTTP } from 'cloudevents';
import { Webhook } from 'standardwebhooks';
import { describe, expect, onTestFinished, test } from 'vitest';
import { externalEndpointTarget } from '../../delivery/external-endpoint-target.ts';
import { deliver, EVENT_ID, localGuard, PAYLOAD, requestOf, secretsNamed } from './support/deliveries.ts';
import { only, type Reply, receiver } from './support/receiver.ts';

const OLD = `whsec_${Buffer.alloc(24, 'o').toString('base64')}`;
const NEW = `whsec_${Buffer.alloc(64, 'n').toString('base64')}`;

const targetWith = (known: Readonly<Record<string, string>> = {}) =>
  externalEndpointTarget(
    { source: 'https://iu.example' },
    { guard: localGuard(), resolveSecretNamed: secretsNamed(known) },
  );

async function answered(reply: Reply, config: Readonly<Record<string, unknown>> = {}) {
  const endpoint = await receiver(() => reply);
  const request = requestOf({ targetRef: `${endpoint.url}/hook?a=b` });
  return deliver(targetWith(), request, { allow_http: true, ...config });
}

/** A server that takes the request and never answers. */
async function silentReceiver(): Promise<string> {
  const server = createServer(() => undefined);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

describe('an external endpoint', () => {
  test('gets a message that Standard Webhooks verifies and that is a CloudEvent', async () => {
    const endpoint = await receiver();
    const config = { allow_http: true, signing_secrets: ['partner'], headers: { 'X-Tenant': 'blue' } };
    const request = requestOf({ targetRef: `${endpoint.url}/hook?a=b` });
    const outcome = await deliver(targetWith({ partner: NEW }), request, config);

    const { method, path, headers, body } = only(endpoint.received);
    expect({ method, path }).toEqual({ method: 'POST', path: '/hook?a=b' });
    expect(headers).toMatchObject({
      'content-type': 'application/cloudevents+json',
      'webhook-id': `${EVENT_ID}:partner`,
      'idempotency-key': `${EVENT_ID}:partner`,
      'x-tenant': 'blue',
    });
    expect(new Webhook(NEW).verify(body, { ...headers } as Record<string, string>)).toMatchObject({
      id: EVENT_ID,
    });
    expect(HTTP.toEvent({ headers, body: body.toString('utf8') })).toMatchObject({
      id: EVENT_ID,
      type: 'iu.version_applied',
      data: PAYLOAD,
    });
    expect(outcome).toMatchObject({
      status: 'sent',
      delivered: true,
      detail: { http_status: 200, answer_bytes: 0, webhook_id: `${EVENT_ID}:partner`, signatures: 1 },
    });
  });

  test('gets the bytes that were frozen, not new ones', async () => {
    const endpoint = await receiver();
    const body = Buffer.from('{"frozen":true}');
    const attempt = { signal: AbortSignal.timeout(60_000), config: { allow_http: true }, body };
    await targetWith().deliver(requestOf({ targetRef: endpoint.url }), attempt);
    expect(only(endpoint.received).body).toEqual(body);
  });

  test('verifies with the old and the new secret during a rotation, and afterwards with the new one only', async () => {
    const endpoint = await receiver();
    const target = targetWith({ 'p-2025': OLD, 'p-2026': NEW });
    const request = requestOf({ targetRef: endpoint.url });
    const rotation = [['p-2025'], ['p-2026', 'p-2025'], ['p-2026']];
    for (const signing_secrets of rotation)
      await deliver(target, request, { allow_http: true, signing_secrets });

    const fits = (secret: string) =>
      endpoint.received.map(({ body, headers }) => {
        try {
          return new Webhook(secret).verify(body, { ...headers } as Record<string, string>) !== undefined;
        } catch {
          return false;
        }
      });
    expect(fits(OLD)).toEqual([true, true, false]);
    expect(fits(NEW)).toEqual([false, true, true]);
    expect(fits(`whsec_${Buffer.alloc(24, 'x').toString('base64')}`)).toEqual([false, false, false]);
  });

  test('gets a signature of its time with each try, under the same id', async () => {
    const endpoint = await receiver();
    const target = targetWith({ partner: NEW });
    const started = Math.floor(Date.now() / 1_000);
    const config = { allow_http: true, signing_secrets: ['partner'] };
    for (let i = 0; i < 2; i += 1) await deliver(target, requestOf({ targetRef: endpoint.url }), config);
    const ids = new Set(endpoint.received.map(({ headers }) => headers['webhook-id']));
    expect(ids.size).toBe(1);
    for (const { headers } of endpoint.received) {
      expect(Number(headers['webhook-timestamp'])).toBeGreaterThanOrEqual(started);
    }
  });

  test('gets no signature where the route names no secret', async () => {
    const endpoint = await receiver();
    const outcome = await deliver(targetWith(), requestOf({ targetRef: endpoint.url }));
    expect(only(endpoint.received).headers).not.toHaveProperty('webhook-signature');
    expect(outcome.detail.signatures).toBe(0);
  });
});

describe('the answer of an endpoint', () => {
  test.each([200, 201, 202, 204, 299])('of %d is sent and delivered', async (status) => {
    expect(await answered({ status })).toMatchObject({ status: 'sent', delivered: true });
  });

  test.each([301, 302, 303, 304, 307, 308])('of %d is refused for good and not followed', async (status) => {
    const elsewhere = await receiver();
    const outcome = await answered({ status, headers: { location: elsewhere.url } });
    expect(outcome).toMatchObject({
      status: 'failed',
      failure: { code: 'redirect_refused', mayRetry: false },
    });
    expect(outcome.detail.http_status).toBe(status);
    expect(elsewhere.received).toEqual([]);
  });

  test.each([408, 425, 429, 500, 501, 502, 503, 504, 507, 599])(
    'of %d may be tried again',
    async (status) => {
      const outcome = await answered({ status });
      expect(outcome).toMatchObject({ status: 'failed', delivered: false });
      expect(outcome.failure).toEqual({
        code: `http_${status}`,
        message: `The target answered ${status}.`,
        mayRetry: true,
        retryAfterMs: null,
      });
    },
  );

  test.each([400, 401, 403, 404, 405, 409, 413, 415, 422, 451, 499])('of %d is final', async (status) => {
    const { failure } = await answered({ status, headers: { 'retry-after': '5' } });
    expect(failure).toMatchObject({ code: `http_${status}`, mayRetry: false, retryAfterMs: null });
    expect(failure).not.toHaveProperty('disablesRoute');
  });

  test('of 410 is final and switches the route off', async () => {
    const { failure } = await answered({ status: 410 });
    expect(failure).toMatchObject({ code: 'http_410', mayRetry: false, disablesRoute: true });
  });

  test.each([
    ['seconds', '120', 120_000],
    ['ten years', '315360000', 86_400_000],
    ['negative', '-5', null],
    ['words', 'later', null],
  ])('says when to come back: %s', async (_, header, expected) => {
    const { failure } = await answered({ status: 503, headers: { 'retry-after': header } });
    expect(failure?.retryAfterMs).toBe(expected);
  });

  test('says when to come back, as a date', async () => {
    const date = new Date(Date.now() + 600_000).toUTCString();
    const { failure } = await answered({ status: 429, headers: { 'retry-after': date } });
    expect(failure?.retryAfterMs).toBeGreaterThan(500_000);
    expect(failure?.retryAfterMs).toBeLessThanOrEqual(600_000);
  });

  test('is honoured up to the ceiling of the route', async () => {
    const config = { retry: { retry_after_max: '1m' } };
    const { failure } = await answered({ status: 503, headers: { 'retry-after': '7200' } }, config);
    expect(failure?.retryAfterMs).toBe(60_000);
  });
});

describe('what never came to an answer', () => {
  test('is a refused connection', async () => {
    const { failure } = await deliver(targetWith(), requestOf({ targetRef: 'http://127.0.0.1:1025/' }));
    expect(failure).toMatchObject({ code: 'connect_refused', mayRetry: true });
  });

  test('is a refused address, for good', async () => {
    const { failure, detail } = await deliver(
      targetWith(),
      requestOf({ targetRef: 'http://169.254.169.254/' }),
    );
    expect(failure).toMatchObject({ code: 'address_refused', mayRetry: false });
    expect(detail).not.toHaveProperty('http_status');
  });

  test('is http where the route does not allow it', async () => {
    const endpoint = await receiver();
    const { failure } = await deliver(targetWith(), requestOf({ targetRef: endpoint.url }), {});
    expect(failure).toMatchObject({ code: 'address_refused', mayRetry: false });
    expect(endpoint.received).toEqual([]);
  });

  test('is an endpoint that takes longer than the route allows; it may have the event', async () => {
    const silent = await silentReceiver();
    const config = { allow_http: true, timeout_ms: 100 };
    const { failure, detail } = await deliver(targetWith(), requestOf({ targetRef: silent }), config);
    expect(failure).toMatchObject({ code: 'timeout', mayRetry: true });
    expect(detail.duration_ms).toBeGreaterThanOrEqual(90);
  });

  test('is a try that is given up', async () => {
    const silent = await silentReceiver();
    const attempt = { signal: AbortSignal.timeout(100), config: { allow_http: true } };
    const { failure } = await targetWith().deliver(requestOf({ targetRef: silent }), attempt);
    expect(failure).toMatchObject({ code: 'timeout', mayRetry: true });
  });

  test('is an answer that is larger than anybody reads', async () => {
    const endpoint = await receiver(() => ({ status: 500, body: 'x'.repeat(1_048_577) }));
    const outcome = await deliver(targetWith(), requestOf({ targetRef: endpoint.url }));
    expect(outcome.failure).toMatchObject({ code: 'response_too_large', mayRetry: true });
    expect(outcome.detail).toMatchObject({ http_status: 500 });
  });

  test('is a body over the limit of the route, one byte of which is too much', async () => {
    const endpoint = await receiver();
    const target = targetWith();
    const request = requestOf({ targetRef: endpoint.url });
    const bytes = target.body?.(request).length ?? 0;
    const over = await deliver(target, request, { allow_http: true, max_body_bytes: bytes - 1 });
    expect(over.failure).toMatchObject({ code: 'payload_too_large', mayRetry: false });
    expect(over.failure?.message).toContain(String(bytes));
    expect(endpoint.received).toEqual([]);
    const within = await deliver(target, request, { allow_http: true, max_body_bytes: bytes });
    expect(within.status).toBe('sent');
  });
});
