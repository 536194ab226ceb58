import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { externalEndpointTarget } from '../../delivery/external-endpoint-target.ts';
import { headerFault } from '../../delivery/header-fault.ts';
import { deliver, localGuard, requestOf, secretsNamed } from './support/deliveries.ts';
import { receiver } from './support/receiver.ts';

const INJECTION = 'x\r\nx-admin: yes\r\n\r\nGET /inside HTTP/1.1';

const target = () =>
  externalEndpointTarget(
    { source: 'https://iu.example' },
    { guard: localGuard(), resolveSecretNamed: secretsNamed({}) },
  );

describe('a header cannot be smuggled in', () => {
  test.each([
    ['the type', { event: { type: INJECTION } }],
    ['the domain', { event: { domain: INJECTION } }],
    ['the subject', { event: { subject: INJECTION } }],
    ['the id', { eventRef: INJECTION }],
    ['the idempotency key', { idempotencyKey: INJECTION }],
    ['an idempotency key that is not ASCII', { idempotencyKey: 'ključ' }],
    ['an idempotency key with a space', { idempotencyKey: 'a b' }],
    ['an idempotency key without end', { idempotencyKey: 'k'.repeat(513) }],
  ])('through %s: the request is refused for good, and nothing is sent', async (_, change) => {
    const endpoint = await receiver();
    const { failure } = await deliver(target(), requestOf({ targetRef: endpoint.url, ...change }));
    expect(failure).toMatchObject({ code: 'request_invalid', mayRetry: false });
    expect(JSON.stringify(failure)).not.toContain('x-admin');
    expect(endpoint.received).toEqual([]);
  });

  test('through whatever text: the names of the headers that arrive are always the same', async () => {
    const endpoint = await receiver();
    const text = fc.string({ unit: 'binary' });
    const wire = fc.record({ type: text, domain: text, subject: text });
    const external = target();
    await deliver(external, requestOf({ targetRef: endpoint.url }));
    await fc.assert(
      fc.asyncProperty(wire, text, text, async (event, idempotencyKey, note) => {
        const change = { event, targetRef: endpoint.url, safePayload: JSON.stringify({ note }) };
        await deliver(
          external,
          requestOf(/\S/.test(idempotencyKey) ? { ...change, idempotencyKey } : change),
        );
      }),
      { numRuns: 200 },
    );
    const names = endpoint.received.map(({ rawHeaders }) => rawHeaders.filter((_, i) => i % 2 === 0).join());
    expect(endpoint.received.length).toBeGreaterThan(1);
    expect(new Set(names).size).toBe(1);
  });

  test.each([
    ['a line break', { 'x-a': 'b\r\nx-admin: yes' }],
    ['a bare line feed', { 'x-a': 'b\nc' }],
    ['a NUL', { 'x-a': 'b\u0000' }],
    ['a letter beyond ASCII', { 'x-a': 'ż' }],
    ['a name with a line break', { 'x-a: b\r\nx-admin': 'yes' }],
    ['a name with a colon', { 'x:a': 'b' }],
    ['an empty name', { '': 'b' }],
    ['a value that is no text', { 'x-a': 5 }],
    ['the same name twice', { 'X-A': '1', 'x-a': '2' }],
    ['more than there is room for', { 'x-a': 'b'.repeat(2_000) }],
    ['too many', Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`x-${i}`, 'b']))],
  ])('through the headers of the route: %s', async (_, headers) => {
    const endpoint = await receiver();
    const config = { allow_http: true, headers };
    expect(target().fault(endpoint.url, config)).toMatch(/^`config\.headers/);
    const { failure } = await deliver(target(), requestOf({ targetRef: endpoint.url }), config);
    expect(failure).toMatchObject({ code: 'request_invalid', mayRetry: false });
    expect(failure?.message).not.toContain('x-admin: yes');
    expect(endpoint.received).toEqual([]);
  });

  test.each([
    'Webhook-Id',
    'webhook-signature',
    'Idempotency-Key',
    'Content-Type',
    'content-length',
    'Host',
    'Transfer-Encoding',
    'connection',
    'Authorization',
    'cookie',
    'ce-id',
    'expect',
  ])('as %s, which a route may not set', (name) => {
    expect(headerFault(name, 'x')).not.toBeNull();
    expect(target().fault('https://partner.example/', { headers: { [name]: 'x' } })).toContain(
      name.toLowerCase(),
    );
  });

  test('while ordinary headers of a route get through', () => {
    expect(headerFault('X-Api-Version', '2026-01, beta')).toBeNull();
    expect(
      target().fault('https://partner.example/', { headers: { 'X-Api-Version': '2' }, unsigned: true }),
    ).toBeNull();
  });
});
