import { expect, it } from 'vitest';
import { headersFault } from '../../delivery/http/check-headers.ts';
import { aPost, faultOf, startGuard } from './support/start-guard.ts';
import { startReceiver } from './support/start-receiver.ts';

const BAD: readonly [string, Record<string, string>][] = [
  ['a line end in a value', { 'webhook-id': 'a\r\nx-injected: 1' }],
  ['CR in a value', { 'webhook-id': 'a\rb' }],
  ['LF in a value', { 'webhook-id': 'a\nb' }],
  ['LF at the end of a value', { 'webhook-id': 'a\n' }],
  ['NUL in a value', { 'webhook-id': 'a\u0000b' }],
  ['a control in a value', { 'webhook-id': 'a\u0001b' }],
  ['DEL in a value', { 'webhook-id': 'a\u007fb' }],
  ['a line separator in a value', { 'webhook-id': 'a\u2028b' }],
  ['a letter whose low byte is a line end', { 'webhook-id': 'a\u010d\u010ax' }],
  ['a letter beyond ASCII', { 'webhook-id': 'é' }],
  ['an empty name', { '': 'a' }],
  ['a space in a name', { 'a b': 'c' }],
  ['a colon in a name', { 'a:b': 'c' }],
  ['a line end in a name', { 'a\r\nb': 'c' }],
  ['a letter beyond ASCII in a name', { ä: 'c' }],
  ['a name twice', { 'Webhook-Id': 'a', 'webhook-id': 'b' }],
  ...[
    'Host',
    'content-length',
    'Transfer-Encoding',
    'connection',
    'Keep-Alive',
    'upgrade',
    'expect',
    'TE',
    'trailer',
    'Accept-Encoding',
    'proxy-authorization',
  ].map((name): [string, Record<string, string>] => [`${name}, which is not the caller's`, { [name]: '1' }]),
];

it.each(BAD)('headers with %s are refused, and nothing is sent', async (_what, headers) => {
  const receiver = await startReceiver();
  const fault = await faultOf(startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`, { headers })));
  expect(fault).toMatchObject({ code: 'request_invalid', mayRetry: false, wasSent: false });
  expect(headersFault(headers)).toBe(fault.message);
  expect(receiver.connections()).toBe(0);
});

it('a value that is no text is refused', () => {
  for (const value of [undefined, null, 1, ['a'], {}]) {
    expect(headersFault(JSON.parse(JSON.stringify({ a: value ?? null })))).toMatch(/visible ASCII/);
  }
});

it('a refused value, which may be a secret, is not repeated', () => {
  expect(headersFault({ authorization: 'Bearer s3cret\n' })).not.toContain('s3cret');
});

it('every other header arrives as it is', async () => {
  const receiver = await startReceiver();
  const headers = {
    'Webhook-Signature': 'v1,abc= v1,def=',
    authorization: 'Bearer a.b-c',
    'x-empty': '',
    'x-tab': 'a\tb',
    "!#$%&'*+-.^_`|~0a": 'odd but a token',
  };
  expect(headersFault(headers)).toBeNull();
  await startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`, { headers }));
  for (const [name, value] of Object.entries(headers)) {
    expect(receiver.requests[0]?.headers[name.toLowerCase()]).toBe(value);
  }
});
