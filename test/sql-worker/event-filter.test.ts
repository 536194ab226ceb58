import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { conserved } from './support/subjects.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

describe.each([15, 18] as const)('which route takes an event, on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const decisions = async (event: string) => {
    const { rows } = await client.query<{ told: string }>(
      `select coalesce(route_code, '-') || ' ' || decision as told from iu_route_attempt
       where event_id = $1 order by route_code`,
      [event],
    );
    return rows.map((row) => row.told);
  };
  const route = (code: string, domain: string, type: string, filter: string | null = null, enabled = true) =>
    client.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, event_filter, target_kind, target_ref, enabled)
       values ($1, $2, $3, $4, 'report', 'x', $5)`,
      [code, domain, type, filter, enabled],
    );

  test('domain and type must both be equal, in every letter; a disabled route takes nothing', async () => {
    await route('same_type', 'shop', 'version_applied');
    await route('same_domain', 'iu', 'version_Applied');
    await route('disabled', 'iu', 'version_applied', null, false);
    await route('every_one', 'iu', 'version_applied');
    const id = await emit(client);
    const other = await emit(client, {}, 'version_Applied');
    const none = await emit(client, {}, 'version');
    await runWorker(client);
    expect(await decisions(id)).toEqual(['every_one dry_run', 'iu_version_applied dry_run']);
    expect(await decisions(other)).toEqual(['same_domain dry_run']);
    expect(await decisions(none)).toEqual(['- no_route']);
  });

  const takes: readonly (readonly [string, object, boolean])[] = [
    ['$.kind', { kind: 'text' }, true],
    ['$.kind', { kind: '' }, true],
    ['$.kind', { kind: 0 }, true],
    ['$.kind', { kind: {} }, true],
    ['$.kind', { kind: false }, false],
    ['$.kind', { kind: null }, false],
    ['$.kind', { kind: true }, true],
    ['$.kind', {}, false],
    ['$.kind', { kind: [null, true] }, true],
    ['$.kind[*]', { kind: [null, true] }, false],
    ['$.kind[*]', { kind: [true, null] }, true],
    ['$.kind[*]', { kind: [] }, false],
    ['$.a.b.c', { a: { b: [{ c: 1 }] } }, true],
    ['strict $.a', { a: 1 }, true],
    ['strict $.a', { a: null }, false],
    ['$.n > 3', { n: 4 }, true],
    ['$.n > 3', { n: 3 }, false],
    ['$.n > 3', { n: 'four' }, false],
    ['$.n > 3', {}, false],
    ['exists($.a)', { a: null }, true],
    ['exists($.a)', {}, false],
    ['!exists($.a)', {}, true],
    ['$ ? (@.n > 3 && @.kind == "x")', { n: 4, kind: 'x' }, true],
    ['$ ? (@.n > 3 && @.kind == "x")', { n: 4, kind: 'y' }, false],
    ['$.code like_regex "^docs/"', { code: 'docs/a.md' }, true],
    ['$.code starts with "docs/"', { code: 'src/a.md' }, false],
    ['$.big == 9007199254740993', { big: 1 }, false],
    ['$', {}, true],
    ['true', {}, true],
    ['false', {}, false],
    ['null', {}, false],
  ];
  test('a path takes an event whose first item is there and is neither false nor null', async () => {
    for (const [at, [path]] of takes.entries()) await route(`r${at}`, 'iu', `t${at}`, path);
    const ids: string[] = [];
    for (const [at, [, payload]] of takes.entries()) ids.push(await emit(client, payload, `t${at}`));
    expect(await runWorker(client)).toMatchObject({ seen: takes.length, dead_lettered: 0 });
    for (const [at, [path, payload, taken]] of takes.entries()) {
      expect(await decisions(ids[at] ?? ''), `${path} over ${JSON.stringify(payload)}`).toEqual([
        taken ? `r${at} dry_run` : '- no_route',
      ]);
    }
  });

  test('a number beyond 2^53 is compared to its last digit', async () => {
    await route('exact', 'iu', 'n', '$.big == 9007199254740993');
    const emitted = (number: string) =>
      ask<string>(
        client,
        `select fn_iu_emit_event('iu', 'n', null, null, ('{"big": ' || $1 || '}')::jsonb, 'a test') as answer`,
        [number],
      );
    const [same, next] = [await emitted('9007199254740993'), await emitted('9007199254740992')];
    await runWorker(client);
    expect(await decisions(same)).toEqual(['exact dry_run']);
    expect(await decisions(next)).toEqual(['- no_route']);
  });

  test.each([
    ['strict $.kind', {}, '2203A'],
    ['strict $.kind.deeper', { kind: 1 }, '2203A'],
    ['$.kind.double()', { kind: 'no number' }, '22036'],
    ['strict $.list[5]', { list: [1] }, '22033'],
    ['strict $.list[*]', { list: 1 }, '22039'],
  ])(
    '%s raises over one event: it alone is a dead letter, on that route alone',
    async (path, payload, code) => {
      const fine: Record<string, object> = {
        'strict $.kind': { kind: 1 },
        'strict $.kind.deeper': { kind: { deeper: 1 } },
        '$.kind.double()': { kind: '1.5' },
        'strict $.list[5]': { list: [1, 2, 3, 4, 5, 6] },
        'strict $.list[*]': { list: [1] },
      };
      await route('picky', 'iu', 'version_applied', path);
      const before = await emit(client, fine[path]);
      const poison = await emit(client, payload);
      const after = await emit(client, fine[path]);
      const elsewhere = await emit(client, payload, 'nobody_wants_it');
      expect(await runWorker(client)).toMatchObject({ seen: 4, attempts_written: 7, dead_lettered: 1 });
      expect(await decisions(poison)).toEqual(['iu_version_applied dry_run', 'picky failed']);
      for (const id of [before, after]) {
        expect(await decisions(id)).toEqual(['iu_version_applied dry_run', 'picky dry_run']);
      }
      expect(await decisions(elsewhere)).toEqual(['- no_route']);
      const { rows } = await client.query(
        `select event_id, route_code, failure_detail ->> 'sqlstate' as code from iu_route_dead_letter`,
      );
      expect(rows).toEqual([{ event_id: poison, route_code: 'picky', code }]);
      expect(await conserved(client)).toBe('balanced');
    },
  );

  test('a filter that is no path is refused where it is set', async () => {
    for (const filter of ['$.', 'kind = 1', '', '$.a ? (@ ==)']) {
      expect(await sqlstateOf(route('bad', 'iu', 'x', filter)), filter).toMatch(/^(42601|22P02)$/);
    }
  });

  test('a filter that changes counts for the events that come after the change', async () => {
    const [first, second] = [await emit(client), await emit(client)];
    await runWorker(client, 1);
    await client.query(`update iu_outbound_route set event_filter = '$.never'`);
    await runWorker(client);
    expect(await decisions(first)).toEqual(['iu_version_applied dry_run']);
    expect(await decisions(second)).toEqual(['- no_route']);
  });
});
