import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { installed } from './support/installed.ts';
import { buildSeam, effects, setDelivery } from './support/seam.ts';
import { conserved, emitOf, held, recorded } from './support/subjects.ts';
import { ask, runNow, runWorker, sqlstateOf, until } from './support/worker.ts';

const ROUTE = 'iu_version_applied';
const GOOD = { kind: 'good' };
const POISON = { other: 1 };

describe.each([15, 18] as const)('order by subject on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
    await client.query('update iu_outbound_route set ordered_by_subject = true');
  });
  afterEach(async () => {
    await database.drop();
  });
  const numbers = (subject: string) =>
    ask<(number | null)[]>(
      client,
      `select coalesce(json_agg(subject_seq order by subject_seq), '[]') as answer
       from event_outbox where event_subject = $1`,
      [subject],
    );
  const emitted = async (...subjects: string[]) => {
    for (const subject of subjects) await emitOf(client, subject, GOOD);
  };
  const change = (what: string) => client.query(`update iu_outbound_route set ${what}`);
  const letters = async () => {
    const { rows } = await client.query<{ id: string }>(
      `select dead_letter_id as id from iu_route_dead_letter where state = 'open' order by created_at`,
    );
    return rows.map((row) => row.id);
  };
  const replayFirst = async () =>
    ask<{ decision: string; resolved: boolean }>(
      client,
      `select fn_iu_route_dead_letter_replay($1, 'me', 'mended') as answer`,
      [(await letters())[0]],
    );
  /** T1 takes its transaction id before T2, and writes after it: T1's event is the second, and sorts first. */
  const inverted = async (subject: string, first: object = GOOD, second: object = GOOD) => {
    const [t1, t2] = [await database.connect(), await database.connect()];
    await t1.query('begin');
    await t1.query('select pg_current_xact_id()');
    await t2.query('begin');
    await emitOf(t2, subject, first);
    await t2.query('commit');
    await emitOf(t1, subject, second);
    await t1.query('commit');
    await Promise.all([t1.end(), t2.end()]);
  };

  describe('numbers', () => {
    test('have no gap, over rollbacks and savepoints too', async () => {
      await emitted('a', 'a');
      await client.query('begin');
      await emitted('a', 'b');
      await client.query('rollback');
      await client.query('begin');
      await emitted('a');
      await client.query('savepoint before');
      await emitted('a', 'a');
      await client.query('rollback to before');
      await emitted('a', 'b');
      await client.query('commit');
      expect(await numbers('a')).toEqual([1, 2, 3, 4]);
      expect(await numbers('b')).toEqual([1]);
    });

    test('are drawn only for a subject, and only for types that an ordered route takes', async () => {
      await emitOf(client, 'a', {}, 'nobody_wants_it');
      await emitOf(client, null, GOOD);
      expect(await ask(client, 'select count(subject_seq)::int as answer from event_outbox')).toBe(0);
      await emitted('a');
      expect(await ask(client, 'select count(subject_seq)::int as answer from event_outbox')).toBe(1);
      await change('ordered_by_subject = false');
      await emitted('a');
      expect(await ask(client, 'select count(*)::int as answer from iu_outbox_ordered_type')).toBe(0);
      expect(await ask(client, 'select last_seq::int as answer from iu_outbox_subject')).toBe(1);
    });

    test('a producer cannot choose one', async () => {
      await client.query(
        `insert into event_outbox (event_domain, event_type, event_subject, payload, actor, subject_seq)
         values ('iu', 'version_applied', 'a', '{}', 'me', 99)`,
      );
      expect(await numbers('a')).toEqual([1]);
    });

    test('two writers of one subject commit one after another; writers of two do not wait', async () => {
      const [one, two] = [await database.connect(), await database.connect()];
      await one.query('begin');
      await emitOf(one, 'a', GOOD);
      await two.query('begin');
      await emitOf(two, 'b', GOOD);
      let done = false;
      const second = emitOf(two, 'a', GOOD).then(() => {
        done = true;
      });
      await until(
        client,
        `select exists (
           select from pg_locks where not granted and pid in (
             select pid from pg_stat_activity where datname = current_database())) as answer`,
      );
      expect(done).toBe(false);
      await one.query('commit');
      await second;
      await two.query('commit');
      expect(await numbers('a')).toEqual([1, 2]);
      expect(await numbers('b')).toEqual([1]);
    });

    test('a writer under REPEATABLE READ beside another of the same subject is refused, and may try again', async () => {
      const one = await database.connect();
      await one.query('begin isolation level repeatable read; select 1');
      await emitted('a');
      expect(await sqlstateOf(emitOf(one, 'a', GOOD))).toBe('40001');
      await one.query('rollback');
      await emitOf(one, 'a', GOOD);
      expect(await numbers('a')).toEqual([1, 2]);
    });
  });

  describe('an inversion', () => {
    test('n+1 that sorts before n is held, and goes in the run that decides about n', async () => {
      await inverted('a');
      expect(await runWorker(client, 1)).toMatchObject({ seen: 1, attempts_written: 0 });
      expect(await held(client)).toEqual(['a/2']);
      expect(await conserved(client)).toBe('balanced, 1 held');
      expect(await runWorker(client, 1)).toMatchObject({ seen: 1, attempts_written: 2 });
      expect(await recorded(client)).toEqual(['a/1 dry_run', 'a/2 dry_run']);
      expect(await held(client)).toEqual([]);
      expect(await conserved(client)).toBe('balanced');
    });

    test('within one batch nothing is held on a dry run, and each number comes once', async () => {
      await inverted('a');
      expect(await runWorker(client)).toMatchObject({ seen: 2, attempts_written: 2 });
      expect((await recorded(client)).sort()).toEqual(['a/1 dry_run', 'a/2 dry_run']);
      expect(await held(client)).toEqual([]);
    });

    test('without the wish for order n+1 goes first', async () => {
      await inverted('a');
      await change('ordered_by_subject = false');
      await runWorker(client, 1);
      await runWorker(client, 1);
      expect(await recorded(client)).toEqual(['a/2 dry_run', 'a/1 dry_run']);
    });

    test('a second route that asks for no order does not wait', async () => {
      await client.query(
        `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled)
         values ('any_order', 'iu', 'version_applied', 'report', 'x', true)`,
      );
      await inverted('a');
      await runWorker(client, 1);
      expect(await recorded(client, 'any_order')).toEqual(['a/2 dry_run']);
      expect(await held(client)).toEqual(['a/2']);
    });

    test('three deep, two subjects at once, one event a run: every subject in order, nothing twice', async () => {
      for (const subject of ['a', 'b', 'a', 'b', 'a']) await inverted(subject);
      for (let run = 0; run < 12; run += 1) {
        await runWorker(client, 1);
        expect(await conserved(client)).toMatch(/^balanced/);
      }
      const told = await recorded(client);
      expect(told.filter((each) => each.startsWith('a'))).toEqual(
        [1, 2, 3, 4, 5, 6].map((n) => `a/${n} dry_run`),
      );
      expect(told.filter((each) => each.startsWith('b'))).toEqual([1, 2, 3, 4].map((n) => `b/${n} dry_run`));
    });
  });

  describe('after a dead letter', () => {
    beforeEach(async () => {
      await change(`event_filter = 'strict $.kind'`);
    });

    test('`block` holds the subject back, and nobody else', async () => {
      await emitted('a');
      await emitOf(client, 'a', POISON);
      await emitted('a', 'a', 'b');
      expect(await runWorker(client)).toMatchObject({ seen: 5, dead_lettered: 1 });
      expect((await recorded(client)).sort()).toEqual(['a/1 dry_run', 'a/2 failed', 'b/1 dry_run']);
      expect(await held(client)).toEqual(['a/3', 'a/4']);
      await emitted('a', 'b');
      await runWorker(client);
      expect(await held(client)).toEqual(['a/3', 'a/4', 'a/5']);
      expect(await conserved(client)).toBe('balanced, 3 held');
      expect(await ask(client, `select (fn_iu_route_worker_health() ->> 'held')::int as answer`)).toBe(3);
    });

    test('a replay that succeeds resolves it, and the next run lets the followers go in order', async () => {
      await emitOf(client, 'a', POISON);
      await emitted('a', 'a');
      await runWorker(client);
      expect(await replayFirst()).toMatchObject({ decision: 'failed', resolved: false });
      await runWorker(client);
      expect(await held(client)).toEqual(['a/2', 'a/3']);
      await change('event_filter = null');
      expect(await replayFirst()).toMatchObject({ decision: 'dry_run', resolved: true });
      expect(await runWorker(client)).toMatchObject({ seen: 0, attempts_written: 2 });
      expect(await recorded(client)).toEqual([
        'a/1 failed',
        'a/1 failed #2',
        'a/1 dry_run #3',
        'a/2 dry_run',
        'a/3 dry_run',
      ]);
      expect(await conserved(client)).toBe('balanced');
    });

    test.each([
      ['discarded', ['a/1 failed', 'a/2 dry_run past a dead letter', 'a/3 dry_run'], 'balanced'],
      ['parked', ['a/1 failed'], 'balanced, 2 held'],
    ])('a letter that was %s', async (state, expected, proof) => {
      await emitOf(client, 'a', POISON);
      await emitted('a', 'a');
      await runWorker(client);
      await client.query(
        `update iu_route_dead_letter set state = $1, state_actor = 'me', state_reason = 'known', state_at = now()`,
        [state],
      );
      await runWorker(client);
      expect(await recorded(client)).toEqual(expected);
      expect(await conserved(client)).toBe(proof);
    });

    test('`skip` goes on in order, and says so', async () => {
      await change(`after_dead_letter = 'skip'`);
      await emitted('a');
      await emitOf(client, 'a', POISON);
      await emitted('a', 'a');
      await emitOf(client, 'a', POISON);
      await emitted('a');
      expect(await runWorker(client)).toMatchObject({ seen: 6, attempts_written: 6, dead_lettered: 2 });
      expect(await recorded(client)).toEqual([
        'a/1 dry_run',
        'a/2 failed',
        'a/3 dry_run past a dead letter',
        'a/4 dry_run',
        'a/5 failed',
        'a/6 dry_run past a dead letter',
      ]);
      expect(await held(client)).toEqual([]);
      expect(await conserved(client)).toBe('balanced');
    });

    test('a route that changes from `block` to `skip` lets its held events go', async () => {
      await emitOf(client, 'a', POISON);
      await emitted('a', 'a');
      await runWorker(client);
      expect(await held(client)).toEqual(['a/2', 'a/3']);
      await change(`after_dead_letter = 'skip'`);
      await runWorker(client);
      expect(await recorded(client)).toEqual(['a/1 failed', 'a/2 dry_run past a dead letter', 'a/3 dry_run']);
    });

    test('a held event that fails in its turn becomes a dead letter and blocks in its turn', async () => {
      await inverted('a', GOOD, POISON);
      await emitted('a');
      await runWorker(client, 1);
      await runWorker(client, 1);
      await runWorker(client, 1);
      expect(await recorded(client)).toEqual(['a/2 failed', 'a/1 dry_run']);
      expect(await held(client)).toEqual(['a/3']);
      expect(await conserved(client)).toBe('balanced, 1 held');
    });

    test.each([1, 100])(
      'an event in between that the filter does not take hides no dead letter, with %i events a run',
      async (limit) => {
        await change(`event_filter = 'strict $.kind ? (@ == "good")'`);
        await emitOf(client, 'a', POISON);
        await emitOf(client, 'a', { kind: 'not for this route' });
        await emitted('a');
        for (let run = 0; run < 3; run += 1) await runWorker(client, limit);
        expect(await recorded(client)).toEqual(['a/1 failed']);
        expect(await held(client)).toEqual(['a/3']);
        expect(await conserved(client)).toBe('balanced, 1 held');
      },
    );
  });

  describe('while events are held', () => {
    beforeEach(async () => {
      await change(`event_filter = 'strict $.kind'`);
      await emitOf(client, 'a', POISON);
      await emitted('a', 'a');
      await runWorker(client);
      expect(await held(client)).toEqual(['a/2', 'a/3']);
    });

    test('a disabled route keeps them held; they go on when it is enabled', async () => {
      await client.query(
        `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
      );
      await change('enabled = false');
      expect(await runWorker(client)).toMatchObject({ attempts_written: 0 });
      expect(await held(client)).toEqual(['a/2', 'a/3']);
      await change('enabled = true');
      expect(await runWorker(client)).toMatchObject({ attempts_written: 2 });
      expect(await held(client)).toEqual([]);
    });

    test('a filter that takes them no more is recorded as skipped', async () => {
      await client.query(
        `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
      );
      await change(`event_filter = '$.never'`);
      await runWorker(client);
      expect(await recorded(client)).toEqual(['a/1 failed', 'a/2 skipped', 'a/3 skipped']);
      expect(
        await ask(
          client,
          `select array_agg(distinct detail ->> 'because') as answer from iu_route_attempt where decision = 'skipped'`,
        ),
      ).toEqual(['the route takes it no more']);
      expect(await conserved(client)).toBe('balanced');
    });

    test('a route that does not ask for order any more lets them go', async () => {
      await change('ordered_by_subject = false');
      await runWorker(client);
      expect(await recorded(client)).toEqual(['a/1 failed', 'a/2 dry_run', 'a/3 dry_run']);
      expect(await held(client)).toEqual([]);
    });

    test('a second worker has its own opinion', async () => {
      await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('second')`);
      await change('event_filter = null');
      expect(await runWorker(client, 100, 'second')).toMatchObject({ seen: 3, attempts_written: 3 });
      expect(await held(client)).toEqual(['a/2', 'a/3']);
      expect(await conserved(client)).toBe('balanced, 2 held');
    });

    test('a run that claims nothing still lets them go', async () => {
      await change('event_filter = null');
      await replayFirst();
      expect(await runNow(client)).toMatchObject({ seen: 0, attempts_written: 2 });
    });
  });

  describe('on a live route', () => {
    beforeEach(async () => {
      await buildSeam(client);
      await setDelivery(client, true, ROUTE);
      await change('dry_run = false');
    });

    test('effects come in order, each once, inversions or not', async () => {
      await inverted('a');
      await emitted('a', 'b');
      await inverted('b');
      for (let run = 0; run < 7; run += 1) await runWorker(client, 1);
      const called = await effects(client);
      expect(called.filter((each) => each.startsWith('a'))).toEqual(['a/1', 'a/2', 'a/3']);
      expect(called.filter((each) => each.startsWith('b'))).toEqual(['b/1', 'b/2', 'b/3']);
      expect(await conserved(client)).toBe('balanced');
    });

    test('a whole subject in one batch is delivered in one run, in order', async () => {
      await inverted('a');
      await emitted('a', 'a', 'a');
      expect(await runWorker(client)).toMatchObject({ seen: 5, attempts_written: 5 });
      expect(await effects(client)).toEqual(['a/1', 'a/2', 'a/3', 'a/4', 'a/5']);
      expect((await recorded(client)).every((each) => each.endsWith('sent'))).toBe(true);
    });

    test('an event whose target raises is a dead letter and blocks its subject; discarded, it is passed over', async () => {
      await emitted('a');
      await emitOf(client, 'a', { raise: true });
      await emitted('a', 'b', 'a');
      expect(await runWorker(client)).toMatchObject({ dead_lettered: 1 });
      expect((await effects(client)).sort()).toEqual(['a/1', 'b/1']);
      expect(await held(client)).toEqual(['a/3', 'a/4']);
      expect(await conserved(client)).toBe('balanced, 2 held');
      await client.query(
        `update iu_route_dead_letter set state = 'discarded', state_actor = 'me', state_reason = 'known', state_at = now()`,
      );
      await runWorker(client);
      expect((await effects(client)).slice(2)).toEqual(['a/3', 'a/4']);
      expect((await recorded(client)).slice(-2)).toEqual(['a/3 sent past a dead letter', 'a/4 sent']);
    });

    test('with `skip` it goes on behind an event whose target raises', async () => {
      await change(`after_dead_letter = 'skip'`);
      await emitted('a');
      await emitOf(client, 'a', { raise: true });
      await emitted('a', 'a');
      await runWorker(client);
      expect(await effects(client)).toEqual(['a/1', 'a/3', 'a/4']);
      expect(await recorded(client)).toEqual([
        'a/1 sent',
        'a/2 failed',
        'a/3 sent past a dead letter',
        'a/4 sent',
      ]);
    });

    test('a repetition of the same stretch calls no target again', async () => {
      await emitted('a', 'a');
      await emitOf(client, 'a', { raise: true });
      await emitted('a');
      await runWorker(client);
      await client.query(
        `update iu_route_worker_cursor
         set cursor_epoch = null, cursor_xact_id = null, cursor_created_at = null, cursor_event_id = null`,
      );
      expect(await runWorker(client)).toMatchObject({ seen: 4, attempts_written: 0, dead_lettered: 0 });
      expect(await effects(client)).toEqual(['a/1', 'a/2']);
      expect(await held(client)).toEqual(['a/4']);
    });
  });

  test('3,000 events of one subject in one transaction go in order, 100 a run', async () => {
    await client.query(
      `select fn_iu_emit_event('iu', 'version_applied', 'a', null, '{}', 'a test') from generate_series(1, 3000)`,
    );
    for (let run = 0; run < 30; run += 1) {
      expect(await runWorker(client, 100)).toMatchObject({ seen: 100, attempts_written: 100 });
    }
    expect(await recorded(client)).toEqual(Array.from({ length: 3000 }, (_, at) => `a/${at + 1} dry_run`));
    expect(await conserved(client)).toBe('balanced');
  });

  test('3,000 held events of one subject go in order, 100 or so a run', async () => {
    await change(`event_filter = 'strict $.kind'`);
    await emitOf(client, 'a', POISON);
    await client.query(
      `select fn_iu_emit_event('iu', 'version_applied', 'a', null, '{"kind": "good"}', 'a test')
       from generate_series(2, 3000)`,
    );
    await runWorker(client, 1);
    await runWorker(client, 3000);
    expect(await conserved(client)).toBe('balanced, 2999 held');
    await change('event_filter = null');
    await replayFirst();
    for (let left = 2999; left > 0; ) {
      const { attempts_written: written } = await runWorker(client, 100);
      expect(written).toBeGreaterThan(0);
      expect(written).toBeLessThanOrEqual(101);
      left -= written;
    }
    expect(await recorded(client)).toEqual([
      'a/1 failed',
      ...Array.from({ length: 3000 }, (_, at) => `a/${at + 1} dry_run${at === 0 ? ' #2' : ''}`),
    ]);
    expect(await conserved(client)).toBe('balanced');
  });
});
