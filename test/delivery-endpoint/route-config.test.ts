import { describe, expect, test } from 'vitest';
import { directusFlowTarget } from '../../delivery/directus-flow-target.ts';
import { externalEndpointTarget } from '../../delivery/external-endpoint-target.ts';
import { httpRouteConfig } from '../../delivery/http-route-config.ts';
import { FLOW_ID, localGuard, secretsNamed } from './support/deliveries.ts';

const external = () =>
  externalEndpointTarget(
    { source: 'https://iu.example' },
    { guard: localGuard(), resolveSecretNamed: secretsNamed({}) },
  );
const directus = () =>
  directusFlowTarget({ baseUrl: 'https://directus.example', token: null }, { guard: localGuard() });

describe('the config of a route', () => {
  test('has defaults for all that it does not say', () => {
    expect(httpRouteConfig('external_endpoint', {})).toMatchObject({
      allowHttp: false,
      timeoutMs: 15_000,
      maxBodyBytes: 524_288,
      headers: {},
      signingSecrets: [],
      answersBeforeDone: null,
    });
  });

  test.each([
    ['a misspelt key, which would send unsigned', { signing_secret: ['a'] }, /Unknown key `signing_secret`/],
    ['three secrets', { signing_secrets: ['a', 'b', 'c'] }, /one or two names/],
    ['no secret', { signing_secrets: [] }, /one or two names/],
    ['the same secret twice', { signing_secrets: ['a', 'a'] }, /named twice/],
    ['a time too short', { timeout_ms: 99 }, /timeout_ms/],
    ['a time too long', { timeout_ms: 60_001 }, /timeout_ms/],
    ['a size that is no number', { max_body_bytes: '1' }, /max_body_bytes/],
    ['text for a switch', { allow_http: 'yes' }, /allow_http/],
    ['a retry that is malformed', { retry: { schedule: [] } }, /retry\.schedule/],
    ['a key of another kind', { async: true }, /Unknown key `async`/],
  ])('is refused: %s', (_, config, why) => {
    expect(external().fault('https://partner.example/hook', config)).toMatch(why);
    expect(external().fault('https://partner.example/hook', { unsigned: true })).toBeNull();
  });

  test.each([
    ['neither secrets nor word that nothing is to sign', {}],
    ['both', { unsigned: true, signing_secrets: ['a'] }],
  ])('is refused for an endpoint: %s', (_, config) => {
    expect(external().fault('https://partner.example/hook', config)).toMatch(
      /signing_secrets, or say unsigned/,
    );
    expect(external().fault('https://partner.example/hook', { signing_secrets: ['a'] })).toBeNull();
  });

  test('does not repeat a secret that was put where its name belongs', () => {
    const secret = `whsec_${Buffer.alloc(32, 'c').toString('base64')}`;
    const fault = external().fault('https://partner.example/', { signing_secrets: [secret] });
    expect(fault).toMatch(/Expected names of `delivery\.secrets`/);
    expect(fault).not.toContain(secret.slice(0, 12));
  });
});

describe('target_ref', () => {
  test.each([
    ['no URL', 'partner'],
    ['another scheme', 'ftp://partner.example/'],
    ['http', 'http://partner.example/'],
    ['a user', 'https://me@partner.example/'],
    ['a password', 'https://me:pw@partner.example/'],
    ['a line break', 'https://partner.example/\r\nx: y'],
    ['a dot at the end', 'https://partner.example./'],
    ['a port of mail', 'https://partner.example:25/'],
  ])('of an external endpoint is refused: %s', (_, url) => {
    expect(external().fault(url, { unsigned: true })).toMatch(/\.$/);
  });

  test('of an external endpoint may be http where the route allows it', () => {
    expect(external().fault('http://partner.example/', { allow_http: true, unsigned: true })).toBeNull();
    expect(external().fault('https://10.0.0.7/', { unsigned: true })).toBeNull();
  });

  test.each([
    ['no uuid', 'flow'],
    ['upper case, which Directus does not find', FLOW_ID.toUpperCase()],
    ['a path behind it', `${FLOW_ID}/../../users`],
    ['a line break behind it', `${FLOW_ID}\n`],
  ])('of a Directus flow is refused: %s', (_, ref) => {
    expect(directus().fault(ref, {})).toMatch(/id of a flow/);
    expect(directus().fault(FLOW_ID, {})).toBeNull();
  });

  test('of a Directus flow is refused beside secrets that would not sign', () => {
    expect(directus().fault(FLOW_ID, { signing_secrets: ['a'] })).toMatch(/Unknown key `signing_secrets`/);
  });
});
