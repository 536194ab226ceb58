import type pg from 'pg';
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, sqlstateOf } from '../sql-worker/support/worker.ts';

describe.each([15, 18] as const)('payloads that are hard to keep, on PostgreSQL %i', (major) => {
  let client: pg.Client;
  beforeAll(async () => {
    client = await (await installed(major, 'outbox')).connect();
  });
  beforeEach(async () => {
    await client.query('begin');
  });
  afterEach(async () => {
    await client.query('rollback');
  });
  const emitText = (payload: string) =>
    ask<string>(client, `select fn_iu_emit_event('iu', 'tried', null, null, $1, 'a test') as answer`, [
      payload,
    ]);
  const events = () => ask<number>(client, 'select count(*)::int as answer from event_outbox');
  const allow = (bytes: number) =>
    client.query(`update dot_config set value = $1 where key = 'iu_core.event_payload_max_bytes'`, [bytes]);
  const refused = async (payload: string, sqlstates: readonly string[]) => {
    await client.query('savepoint before');
    expect(sqlstates).toContain(await sqlstateOf(emitText(payload)));
    await client.query('rollback to before');
    expect(await events()).toBe(0);
  };

  test('NUL is refused, wherever it stands', async () => {
    for (const payload of ['{"a": "x\\u0000y"}', '{"a\\u0000": 1}', '{"a": [{"b": "\\u0000"}]}']) {
      await refused(payload, ['22P05']);
    }
    await emitText('{"a": "\\\\u0000"}');
    expect(await ask(client, `select payload ->> 'a' as answer from event_outbox`)).toBe('\\u0000');
  });

  test('half a surrogate pair is refused, a whole one is kept', async () => {
    for (const payload of [
      '{"a": "\\ud83d"}',
      '{"a": "\\ude00"}',
      '{"a": "\\ude00\\ud83d"}',
      '{"a": "\\ud83dx"}',
    ]) {
      await refused(payload, ['22P02']);
    }
    await emitText('{"a": "\\ud83d\\ude00"}');
    expect(await ask(client, `select payload ->> 'a' as answer from event_outbox`)).toBe('😀');
  });

  test.each([
    ['2^53 + 1', '9007199254740993'],
    ['64 bits', '18446744073709551615'],
    ['forty digits', '1234567890123456789012345678901234567890'],
    ['a fraction that no double holds', '0.1000000000000000055511151231257827021181583404541015625'],
    ['trailing zeros', '1.500'],
    ['an exponent beyond a double', `1${'0'.repeat(400)}`],
  ])('a number is kept digit by digit: %s', async (_, digits) => {
    await emitText(`{"n": ${digits}}`);
    expect(await ask(client, `select payload ->> 'n' as answer from event_outbox`)).toBe(digits);
  });

  test('a number that no numeric holds is refused', async () => {
    await refused('{"n": 1e200000}', ['22003', '22P02']);
    for (const word of ['NaN', 'Infinity', '-Infinity']) await refused(`{"n": ${word}}`, ['22P02']);
  });

  test.each([
    ['lists', '[', ']'],
    ['objects', '{"a":', '}'],
  ])(
    'a payload of 10,000 %s in each other is kept exactly, or refused before anything is written',
    async (_, open, close) => {
      const depth = 10_000;
      const payload = `{"a":${open.repeat(depth - 1)}1${close.repeat(depth - 1)}}`;
      await client.query('savepoint before');
      const answer = await sqlstateOf(emitText(payload));
      if (answer === 'none') {
        expect(await ask(client, `select replace(payload::text, ' ', '') as answer from event_outbox`)).toBe(
          payload,
        );
      } else {
        expect(answer).toBe('54001');
        await client.query('rollback to before');
        expect(await events()).toBe(0);
      }
    },
  );

  test('20 MB are refused with their size and the setting that limits it, and kept exactly where it allows them', async () => {
    const text = 'x'.repeat(20 * 1024 * 1024);
    const payload = JSON.stringify({ text });
    await client.query('savepoint before');
    await expect(emitText(payload)).rejects.toMatchObject({
      code: '22023',
      message: expect.stringMatching(
        /^event refused: the payload has 209715\d\d bytes; .*event_payload_max_bytes allows 262144$/,
      ),
    });
    await client.query('rollback to before');
    expect(await events()).toBe(0);
    await allow(30_000_000);
    await emitText(payload);
    expect(
      await ask(
        client,
        `select payload ->> 'text' = repeat('x', 20 * 1024 * 1024) as answer from event_outbox`,
      ),
    ).toBe(true);
  });

  test('an object without anything in it, and one with an empty key, are kept', async () => {
    await emitText('{}');
    await emitText('{"": ""}');
    expect(
      await ask(client, `select jsonb_agg(payload order by created_at) as answer from event_outbox`),
    ).toEqual([{}, { '': '' }]);
  });
});
