import { CloudEvent, HTTP } from 'cloudevents';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cloudEvent, cloudEventFault } from '../../delivery/cloud-event.ts';
import { EVENT_ID, PAYLOAD, requestOf } from './support/deliveries.ts';

const SOURCE = 'https://iu.example';

/** The event as the SDK of CloudEvents reads it, validated against its schema. */
function parsed(body: Buffer) {
  const headers = { 'content-type': 'application/cloudevents+json' };
  const event = HTTP.toEvent({ headers, body: body.toString('utf8') });
  if (!(event instanceof CloudEvent)) throw new Error('it is a batch');
  event.validate();
  return event;
}

describe('the CloudEvents envelope', () => {
  test('carries the event, the route and the key where the SDK expects them', () => {
    const event = parsed(cloudEvent(requestOf({}), SOURCE));
    expect(event).toMatchObject({
      specversion: '1.0',
      id: EVENT_ID,
      source: SOURCE,
      type: 'iu.version_applied',
      subject: 'iu/IU-7',
      datacontenttype: 'application/json',
      sluiceroute: 'partner',
      idempotencykey: `${EVENT_ID}:partner`,
      partitionkey: 'iu/IU-7',
      sequence: '0000000000000000042',
      data: PAYLOAD,
    });
  });

  test('keeps the microseconds of the time', () => {
    expect(cloudEvent(requestOf({}), SOURCE).toString()).toContain('"time":"2026-01-02T03:04:05.678901Z"');
  });

  test('carries numbers that JavaScript cannot hold', () => {
    const safePayload = '{"units": 12345678901234567890.123456789}';
    const body = cloudEvent(requestOf({ safePayload }), SOURCE);
    expect(body.toString()).toContain('"data":{"units": 12345678901234567890.123456789}}');
    parsed(body);
  });

  test.each([
    ['no subject', { subject: null, subjectSeq: null }],
    ['an empty subject, which CloudEvents does not allow', { subject: '', subjectSeq: '3' }],
  ])('leaves subject, partition and sequence out for %s', (_, event) => {
    const read = parsed(cloudEvent(requestOf({ event }), SOURCE));
    expect(read.subject).toBeUndefined();
    expect(read).not.toHaveProperty('partitionkey');
    expect(read).not.toHaveProperty('sequence');
  });

  test('names a partition only where there is an order', () => {
    const read = parsed(cloudEvent(requestOf({ event: { subjectSeq: null } }), SOURCE));
    expect(read.subject).toBe('iu/IU-7');
    expect(read).not.toHaveProperty('partitionkey');
  });

  test('orders sequences as text in the order of their numbers', () => {
    const place = fc.bigInt({ min: 1n, max: 2n ** 63n - 1n });
    const sequence = (subjectSeq: bigint) =>
      String(parsed(cloudEvent(requestOf({ event: { subjectSeq: String(subjectSeq) } }), SOURCE)).sequence);
    fc.assert(
      fc.property(place, place, (a, b) => sequence(a) < sequence(b) === a < b),
      { numRuns: 100 },
    );
  });

  test('is the same bytes for the same request, whatever the text', () => {
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(fc.record({ type: text, subject: text }), fc.json(), (event, safePayload) => {
        const request = requestOf({ event, safePayload });
        const again = JSON.parse(JSON.stringify(request));
        expect(cloudEvent(again, SOURCE)).toEqual(cloudEvent(request, SOURCE));
        if (cloudEventFault(request) === null && event.type !== '') parsed(cloudEvent(request, SOURCE));
      }),
      { numRuns: 200 },
    );
  });

  test.each([
    ['type', { event: { type: 'a\r\nx-admin: 1' } }, /type of the event/],
    ['subject', { event: { subject: 'a\u0000b' } }, /subject of the event/],
    ['id', { eventRef: 'a\nb' }, /id of the event/],
    ['a half of a pair', { event: { subject: '\ud800' } }, /subject of the event/],
    ['a noncharacter', { event: { subject: '\ufffe' } }, /subject of the event/],
    ['no type', { event: { type: '' } }, /no type/],
    ['no time', { event: { createdAt: 'yesterday' } }, /when it was written/],
  ])('is refused for what CloudEvents keeps out: %s', (_, change, why) => {
    expect(cloudEventFault(requestOf(change))).toMatch(why);
    expect(cloudEventFault(requestOf({}))).toBeNull();
  });
});
