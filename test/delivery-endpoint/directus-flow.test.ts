import { describe, expect, test } from 'vitest';
import { directusFlowTarget } from '../../delivery/directus-flow-target.ts';
import { deliver, EVENT_ID, FLOW_ID, localGuard, PAYLOAD, requestOf } from './support/deliveries.ts';
import { directusLike } from './support/directus-like.ts';
import { only } from './support/receiver.ts';

const request = requestOf({ targetKind: 'directus_flow', targetRef: FLOW_ID });

const targetOf = (baseUrl: string, token: (() => Promise<string>) | null = async () => 'let-me-in') =>
  directusFlowTarget({ baseUrl, token }, { guard: localGuard() });

describe('a Directus flow', () => {
  test('finds event, key and payload in $trigger.body, and runs once as the token says', async () => {
    const directus = await directusLike({ return: () => ({ done: true }) });
    const outcome = await deliver(targetOf(directus.url), request);
    const { body, headers, user } = only(directus.runs);
    expect(body).toEqual({
      idempotency_key: `${EVENT_ID}:partner`,
      route: 'partner',
      event: {
        id: EVENT_ID,
        domain: 'iu',
        type: 'version_applied',
        subject: 'iu/IU-7',
        subject_seq: '42',
        created_at: '2026-01-02T03:04:05.678901Z',
      },
      payload: PAYLOAD,
    });
    expect(headers['idempotency-key']).toBe(`${EVENT_ID}:partner`);
    expect(user).toBe('service');
    expect(outcome).toMatchObject({ status: 'sent', delivered: true, detail: { http_status: 200 } });
    expect(outcome.detail).not.toHaveProperty('accepted');
  });

  test('is triggered below the path that Directus is served under', async () => {
    const directus = await directusLike({ under: '/cms', return: () => ({}) });
    expect(await deliver(targetOf(`${directus.url}/cms/`), request)).toMatchObject({ status: 'sent' });
  });

  test('that is asynchronous is recorded as accepted, not as done', async () => {
    const directus = await directusLike({ async: true });
    for (const config of [{ allow_http: true }, { allow_http: true, async: true }]) {
      const outcome = await deliver(targetOf(directus.url), request, config);
      expect(outcome).toMatchObject({
        status: 'sent',
        delivered: false,
        detail: { http_status: 204, accepted: true },
      });
    }
  });

  test('that the route calls asynchronous is only accepted, whatever it answers', async () => {
    const directus = await directusLike({ return: () => ({ done: true }) });
    const outcome = await deliver(targetOf(directus.url), request, { allow_http: true, async: true });
    expect(outcome).toMatchObject({ delivered: false, detail: { http_status: 200, accepted: true } });
  });

  test('that the route calls synchronous is done, though its last operation returned nothing', async () => {
    const directus = await directusLike({ return: () => null });
    const outcome = await deliver(targetOf(directus.url), request, { allow_http: true, async: false });
    expect(outcome).toMatchObject({ status: 'sent', delivered: true, detail: { http_status: 204 } });
  });

  test('that is not there, or not triggered by POST, is a final failure', async () => {
    const directus = await directusLike({ return: () => ({}) });
    const other = requestOf({ targetKind: 'directus_flow', targetRef: EVENT_ID });
    const { failure, detail } = await deliver(targetOf(directus.url), other);
    expect(failure).toMatchObject({ code: 'http_403', mayRetry: false });
    expect(detail.answer_excerpt).toContain('FORBIDDEN');
  });

  test('is run as the public where there is no token', async () => {
    const directus = await directusLike({ return: () => ({}) });
    await deliver(targetOf(directus.url, null), request);
    expect(only(directus.runs).user).toBeNull();
  });

  test('that refuses a token is a final failure', async () => {
    const directus = await directusLike({ return: () => ({}) });
    const outcome = await deliver(
      targetOf(directus.url, async () => 'of-long-ago'),
      request,
    );
    expect(outcome.failure).toMatchObject({ code: 'http_401', mayRetry: false });
    expect(JSON.stringify(outcome)).not.toContain('of-long-ago');
    expect(directus.runs).toEqual([]);
  });

  test('that refuses a token which has been replaced since is tried again, with the new one', async () => {
    const directus = await directusLike({ return: () => ({}) });
    const tokens = ['of-long-ago', 'let-me-in'];
    const target = targetOf(directus.url, async () => tokens.shift() ?? 'let-me-in');
    expect((await deliver(target, request)).failure).toMatchObject({ code: 'http_401', mayRetry: true });
    expect(await deliver(target, request)).toMatchObject({ status: 'sent' });
  });

  test.each([
    ['cannot be had', async () => Promise.reject(new Error('canary'))],
    ['could not stand in a header', async () => 'canary\r\nx-admin: yes'],
  ])('is not triggered with a token that %s', async (_, token) => {
    const directus = await directusLike({ return: () => ({}) });
    const outcome = await deliver(targetOf(directus.url, token), request);
    expect(outcome.failure).toMatchObject({ code: 'secret_unresolved', mayRetry: true });
    expect(outcome.failure?.message).toContain('delivery.directus_flow.token');
    expect(JSON.stringify(outcome)).not.toContain('canary');
    expect(directus.runs).toEqual([]);
  });

  test('whose id is none is refused before anything is sent', async () => {
    const directus = await directusLike({ return: () => ({}) });
    const bad = requestOf({ targetKind: 'directus_flow', targetRef: `${FLOW_ID}/../../users` });
    const { failure } = await deliver(targetOf(directus.url), bad);
    expect(failure).toMatchObject({ code: 'target_ref_malformed', mayRetry: false });
    expect(directus.requests).toEqual([]);
  });

  test('of a Directus under pressure is tried again when it says', async () => {
    const directus = await directusLike({ underPressure: true });
    const { failure } = await deliver(targetOf(directus.url), request);
    expect(failure).toMatchObject({ code: 'http_503', mayRetry: true, retryAfterMs: 10_000 });
  });
});
