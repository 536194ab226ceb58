import { describe, expect, it } from 'vitest';
import { redactDeep, redactJsonText, redactScript, redactSecrets } from '../evidence/redact-secrets.ts';

const S = 'hunter2-canary';

describe('redaction', () => {
  it.each([
    `postgres://app:${S}@db.internal:5432/x`,
    `POSTGRESQL://app:${S}@h1,h2/x?target_session_attrs=any`,
    `postgres://app:pa@ss/${S}@db/x`,
    `https://ops:${S}@grafana/`,
    `host=db password=${S} user=app`,
    `host=db password = '${S} with spaces' user=app`,
    `PGPASSWORD=${S} psql`,
    `{"password": "${S}"}`,
    `{\\"token\\": \\"${S}\\"}`,
    `passwd: ${S}`,
    `create role a login password '${S}'`,
    `alter user a encrypted password E'${S}'`,
    `Authorization: Bearer ${S}.abc.def`,
    `client_secret=${S}&grant=x`,
    `SCRAM-SHA-256$4096:${S}`,
    `-----BEGIN RSA PRIVATE KEY-----\n${S}\n-----END RSA PRIVATE KEY-----`,
  ])('cuts the secret out of %j', (text) => {
    const cut = redactSecrets(text);
    expect(cut).not.toContain(S);
    expect(cut).toContain('[redacted]');
    expect(redactSecrets(cut)).toBe(cut);
  });

  it.each([
    'password authentication failed for user "app"',
    'postgres://app@db.internal:5432/x',
    'https://example.org:8080/@scope/package',
    'idempotency_key=abc, cursor_code: iu_outbound_default',
    'a secret in a log, a history or a report',
    'select fn_rotate_password(p_user) from iu; -- no secret here',
  ])('leaves %j as it is', (text) => {
    expect(redactSecrets(text)).toBe(text);
  });

  it.each([
    'where token = v_token and secret = p_secret;',
    'v_token := gen_random_uuid();',
    '-- the secret: see the runbook',
    'create table api_token (token text, secret text not null);',
  ])('leaves the SQL %j as it is', (text) => {
    expect(redactScript(text)).toBe(text);
  });

  it.each([
    `select dblink_connect('host=h password=${S}');`,
    `create role a password '${S}';`,
    `v_token := '${S}';`,
    `update t set api_key = '${S}';`,
  ])('cuts the secret out of the SQL %j', (text) => {
    expect(redactScript(text)).not.toContain(S);
  });

  it('cuts the value of a key that names a secret, wherever it stands', () => {
    expect(redactDeep({ input: [{ apiKey: S, dbPassword: S, rows: 3, note: 'x' }] })).toEqual({
      input: [{ apiKey: '[redacted]', dbPassword: '[redacted]', rows: 3, note: 'x' }],
    });
  });

  it.each([
    ['words and dashes', 'a-'.repeat(100_000)],
    ['a long word', 'A'.repeat(300_000)],
    ['open quotes', "password='".repeat(20_000)],
    ['escapes', 'password="\\\\'.repeat(20_000)],
    ['schemes', 'postgres://a'.repeat(10_000)],
  ])('reads %s of a hundred thousand characters in less than two seconds', (_what, text) => {
    const startedAt = performance.now();
    redactSecrets(text);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });

  it('leaves JSON text without secrets letter for letter, white space and number spelling included', () => {
    const text = '{"b": 1.50, "a":  "x"}';
    expect(redactJsonText(text)).toEqual({ text, redacted: false });
    expect(redactJsonText(`{"m": "password=${S}"}`)).toEqual({
      text: '{"m":"password=[redacted]"}',
      redacted: true,
    });
  });
});
