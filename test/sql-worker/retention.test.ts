import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { TestDatabase } from '../support/create-database.ts';
import { withPartitionsOf } from '../support/partitions-of.ts';
import { installed } from './support/installed.ts';
import {
  drop,
  oldEvent,
  oldPartition,
  planned,
  setGate,
  staysBecause,
  whereIs,
} from './support/partitions.ts';
import { applyFile, readChecks, verdicts } from './support/run-file.ts';
import { buildSeam, setDelivery } from './support/seam.ts';
import { conserved, emitOf, held, recorded } from './support/subjects.ts';
import { ask, emit, runWorker, sqlstateOf } from './support/worker.ts';

interface Prepared {
  readonly created: readonly string[];
  readonly adopted: string | null;
  readonly because: string | null;
}

describe.each([15, 18] as const)('retention on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'live');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  const prepare = (adoptsLarge = false) =>
    ask<Prepared>(client, 'select fn_iu_retention_prepare($1) as answer', [adoptsLarge]);
  const limit = (key: string, value: number) =>
    client.query('update dot_config set value = $2 where key = $1', [`iu_core.retention_${key}`, value]);
  const partitions = async () => [
    ...(await withPartitionsOf(client, 'event_outbox')),
    ...(await withPartitionsOf(client, 'iu_route_attempt')),
  ];
  const settle = (state: string) =>
    client.query(
      `update iu_route_dead_letter set state = $1, state_actor = 'me', state_reason = 'known', state_at = now()`,
      [state],
    );
  const conservation = () =>
    ask<{ balanced: boolean; retired: object; versions_without_event: string[] }>(
      client,
      'select fn_iu_conservation() as answer',
    );

  describe('preparing', () => {
    test('makes the partitions of now and of the coming time, and a second time none', async () => {
      const first = await prepare();
      expect(first).toMatchObject({ adopted: null, because: null });
      expect(first.created).toHaveLength(8);
      const after = await partitions();
      expect(after).toHaveLength(2 * (1 + 1 + 8));
      expect(await prepare()).toEqual({ created: [], adopted: null, because: null });
      expect(await partitions()).toEqual(after);
      await limit('partitions_ahead', 9);
      expect((await prepare()).created).toHaveLength(2);
    });

    test('an event lands in the partition of its time, its attempts in the one beside it', async () => {
      const [now] = (await prepare()).created;
      const id = await emit(client);
      await runWorker(client);
      expect(await whereIs(client, id)).toEqual({
        event: now,
        attempts: [now?.replace('event_outbox', 'iu_route_attempt')],
      });
    });

    test('filled default partitions are taken over with their rows and their guards, and new ones made', async () => {
      const before = await emit(client);
      await runWorker(client);
      const { adopted, created } = await prepare();
      expect(created[0]).toBe(adopted);
      expect(created).toHaveLength(8);
      const beside = adopted?.replace('event_outbox', 'iu_route_attempt') ?? '';
      expect(await whereIs(client, before)).toEqual({ event: adopted, attempts: [beside] });
      expect(await ask(client, 'select count(*)::int as answer from event_outbox_default')).toBe(0);
      for (const role of ['origin', 'replica']) {
        await client.query(`set session_replication_role = ${role}`);
        for (const name of [adopted, beside, 'event_outbox_default', 'iu_route_attempt_default']) {
          expect(await sqlstateOf(client.query(`truncate ${name}`)), `${role} ${name}`).toBe('SL004');
        }
        for (const name of [adopted, beside]) {
          expect(await sqlstateOf(client.query(`delete from ${name}`)), `${role} ${name}`).toBe('SL004');
          expect(await sqlstateOf(client.query(`update ${name} set created_at = now()`))).toBe('SL004');
        }
      }
      await client.query('reset session_replication_role');
      const after = await emit(client);
      expect(await runWorker(client)).toMatchObject({ seen: 1, attempts_written: 1 });
      expect((await whereIs(client, after)).event).toBe(adopted);
      expect(await prepare()).toMatchObject({ created: [], adopted: null });
      expect(await conserved(client)).toBe('balanced');
    });

    test('after it had stopped for long, what came since is taken over above the partitions there are', async () => {
      const old = await oldPartition(client, 10);
      const past = await oldEvent(client, 10);
      const id = await emit(client);
      await runWorker(client);
      const { adopted } = await prepare();
      expect((await whereIs(client, past)).event).toBe(old);
      expect((await whereIs(client, id)).event).toBe(adopted);
      expect(await runWorker(client)).toMatchObject({ seen: 0 });
      expect(await conserved(client)).toBe('balanced');
    });

    test('default partitions that have grown large are taken over only where that is asked for', async () => {
      await client.query('alter table event_outbox_default alter payload set storage plain');
      await client.query(
        `insert into event_outbox (event_domain, event_type, payload, actor)
         select 'iu', 'x', jsonb_build_object('x', repeat('y', 7000)), 'a test' from generate_series(1, 8300)`,
      );
      expect(
        await ask(client, `select pg_relation_size('event_outbox_default') > 64 * 1024 * 1024 as answer`),
      ).toBe(true);
      const refused = await prepare();
      expect(refused).toMatchObject({ created: [], adopted: null });
      expect(refused.because).toMatch(/large/);
      const done = await prepare(true);
      expect(done.because).toBe(null);
      expect(done.adopted).toBe(done.created[0]);
      expect(await ask(client, 'select count(*)::int as answer from event_outbox')).toBe(8_300);
    });

    test('events with ids of a clock set back, or far ahead, land in the default partition and are routed', async () => {
      await prepare();
      const back = await oldEvent(client, 400);
      const ahead = await oldEvent(client, -12);
      const now = await emit(client);
      expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 3 });
      for (const id of [back, ahead]) {
        expect(await whereIs(client, id)).toEqual({
          event: 'event_outbox_default',
          attempts: ['iu_route_attempt_default'],
        });
      }
      expect((await whereIs(client, now)).event).not.toBe('event_outbox_default');
      expect(await ask(client, `select fn_iu_retention_plan() -> 'default_rows' as answer`)).toBe(2);
      await limit('partitions_ahead', 20);
      const more = await prepare();
      expect(more.created.length).toBeGreaterThan(2);
      expect(more.created.length).toBeLessThan(13);
      expect(await runWorker(client)).toMatchObject({ seen: 0 });
      expect(await conserved(client)).toBe('balanced');
    });
  });

  describe('the plan', () => {
    let old: string;
    beforeEach(async () => {
      await prepare();
      old = await oldPartition(client, 50);
    });

    test('keeps what is too young, and lets it go when less has to be kept', async () => {
      const young = await oldPartition(client, 10);
      expect(await staysBecause(client, old)).toBe(null);
      expect(await staysBecause(client, young)).toBe('kept for 30 days');
      expect((await planned(client)).at(-1)?.stays_because).toBe('kept for 30 days');
      await limit('keep_days', 8);
      expect(await staysBecause(client, young)).toBe(null);
      expect((await planned(client)).at(-1)?.stays_because).toBe('kept for 8 days');
    });

    test('keeps what a cursor has not passed, and counts what is there', async () => {
      await oldEvent(client, 50);
      expect(await staysBecause(client, old)).toBe('cursor iu_outbound_default has not passed it');
      await runWorker(client);
      expect((await planned(client))[0]).toMatchObject({
        partition: old,
        events: 1,
        attempts: 1,
        leaves: true,
        stays_because: null,
      });
    });

    test('keeps what a second cursor has not passed, one that was registered later too', async () => {
      await oldEvent(client, 50);
      await runWorker(client);
      expect(await staysBecause(client, old)).toBe(null);
      await client.query(`insert into iu_route_worker_cursor (cursor_code) values ('second')`);
      expect(await staysBecause(client, old)).toBe('cursor second has not passed it');
      await runWorker(client, 100, 'second');
      expect(await staysBecause(client, old)).toBe(null);
    });

    test('keeps what is held back for the order of its subject', async () => {
      await client.query(
        `update iu_outbound_route set ordered_by_subject = true, event_filter = 'strict $.kind'`,
      );
      await emitOf(client, 'a', {});
      await oldEvent(client, 50, { kind: 1 });
      await runWorker(client);
      expect(await held(client)).toEqual(['a/2']);
      expect(await staysBecause(client, old)).toBe(
        'events of it are held back for the order of their subject',
      );
      await settle('discarded');
      await runWorker(client);
      expect(await staysBecause(client, old)).toBe(null);
    });

    test('keeps a dead letter’s event as long as it holds its subject back, and no longer', async () => {
      await client.query(
        `update iu_outbound_route set ordered_by_subject = true, event_filter = 'strict $.kind'`,
      );
      await oldEvent(client, 50, {});
      await runWorker(client);
      expect(await staysBecause(client, old)).toBe(
        'dead letters of it hold their subjects back; replay or discard them first',
      );
      await client.query(`update iu_outbound_route set after_dead_letter = 'skip'`);
      expect(await staysBecause(client, old)).toBe(null);
      await client.query(`update iu_outbound_route set after_dead_letter = 'block'`);
      await settle('parked');
      expect(await staysBecause(client, old)).not.toBe(null);
      await settle('discarded');
      expect(await staysBecause(client, old)).toBe(null);
    });

    test('keeps what a closed delivery gate keeps back', async () => {
      await buildSeam(client);
      await client.query('update iu_outbound_route set dry_run = false');
      await oldEvent(client, 50);
      await runWorker(client);
      expect(await staysBecause(client, old)).toBe('events of it are blocked; release them first');
      await setDelivery(client, true, 'iu_version_applied');
      await client.query(`select fn_iu_route_blocked_release('iu_outbound_default', 10, 'me', 'why')`);
      expect(await staysBecause(client, old)).toBe(null);
    });

    test('keeps what lies behind an older one that stays', async () => {
      const younger = await oldPartition(client, 49);
      await oldEvent(client, 49);
      await runWorker(client);
      expect([await staysBecause(client, old), await staysBecause(client, younger)]).toEqual([null, null]);
      await oldEvent(client, 50);
      expect(await staysBecause(client, old)).toBe('cursor iu_outbound_default has not passed it');
      expect(await staysBecause(client, younger)).toBe('an older partition stays');
    });

    test('judges each of forty old partitions once', async () => {
      for (let day = 51; day <= 90; day += 1) await oldPartition(client, day);
      expect((await planned(client)).filter(({ leaves }) => leaves)).toHaveLength(41);
    });

    test('may be asked for in a READ ONLY transaction, by operator and auditor, and writes nothing', async () => {
      const before = await partitions();
      for (const role of ['iu_core_operator', 'iu_core_auditor']) {
        await client.query('begin read only');
        await client.query(`set local role ${role}`);
        expect((await planned(client))[0]?.partition).toBe(old);
        await client.query('commit');
      }
      expect(await partitions()).toEqual(before);
      await client.query('set role iu_core_worker');
      expect(await sqlstateOf(planned(client))).toBe('42501');
      await client.query('reset role');
    });
  });

  describe('dropping', () => {
    let old: string;
    beforeEach(async () => {
      await prepare();
      old = await oldPartition(client, 50);
    });

    test('needs an open gate, an actor and a reason, a partition that is there, and a plan that lets it', async () => {
      const young = await oldPartition(client, 10);
      const next = await oldPartition(client, 49);
      const before = await partitions();
      expect(await sqlstateOf(drop(client, old))).toBe('SL008');
      await setGate(client, true);
      for (const [actor, reason] of [
        ['', 'why'],
        ['me', ' '],
        [null, 'why'],
        ['me', null],
      ] as const) {
        expect(await sqlstateOf(drop(client, old, actor, reason))).toBe('22023');
      }
      for (const name of [
        'event_outbox_default',
        'event_outbox',
        'dot_config',
        old.replace('event_outbox', 'iu_route_attempt'),
        'no_such_thing',
        young,
        next,
        (await planned(client)).at(-1)?.partition ?? '',
      ]) {
        expect(await sqlstateOf(drop(client, name)), name).toBe('SL008');
      }
      await oldEvent(client, 50);
      expect(await sqlstateOf(drop(client, old))).toBe('SL008');
      expect(await partitions()).toEqual(before);
      await runWorker(client);
      expect(await drop(client, old)).toEqual({ partition: old, events: 1, attempts: 1 });
      expect(await sqlstateOf(drop(client, old)), 'once more').toBe('SL008');
      expect(await drop(client, next)).toEqual({ partition: next, events: 0, attempts: 0 });
      expect(await sqlstateOf(drop(client, young))).toBe('SL008');
    });

    test('an operator may, worker and auditor may not', async () => {
      await setGate(client, true);
      for (const role of ['iu_core_worker', 'iu_core_auditor', 'iu_core_emitter']) {
        await client.query(`set role ${role}`);
        expect(await sqlstateOf(drop(client, old)), role).toBe('42501');
        await client.query('reset role');
      }
      await client.query('set role iu_core_operator');
      expect(await drop(client, old)).toMatchObject({ partition: old });
      await client.query('reset role');
    });

    test('leaves the totals in the books, the rest balanced, and cursor and runs go on', async () => {
      await setGate(client, true);
      for (let n = 0; n < 3; n += 1) await oldEvent(client, 50);
      await oldEvent(client, 50, {}, { type: 'nobody_wants_it' });
      const kept = await emit(client);
      await runWorker(client);
      const cursor = () =>
        ask<object>(
          client,
          `select to_jsonb(c) - 'last_run_at' - 'last_run_summary' as answer from iu_route_worker_cursor as c`,
        );
      const before = await cursor();
      await drop(client, old);
      expect(await cursor()).toEqual(before);
      const proof = await conservation();
      expect(proof).toMatchObject({
        balanced: true,
        events: 1,
        retired: { partitions: 1, events: 4, attempts: 4 },
        cursors: [{ events_up_to_cursor: 1, events_decided: 1 }],
      });
      const { rows } = await client.query(
        `select event_partition, events, attempts, first_decisions, retired_by, retired_because
         from iu_outbox_partition where retired_at is not null`,
      );
      expect(rows).toEqual([
        {
          event_partition: old,
          events: '4',
          attempts: '4',
          first_decisions: expect.arrayContaining([
            {
              worker_code: 'iu_outbound_default',
              route_code: 'iu_version_applied',
              decision: 'dry_run',
              first_attempts: 3,
            },
            {
              worker_code: 'iu_outbound_default',
              route_code: null,
              decision: 'no_route',
              first_attempts: 1,
            },
          ]),
          retired_by: 'me',
          retired_because: 'a test',
        },
      ]);
      expect((await planned(client)).map(({ partition }) => partition)).not.toContain(old);
      expect(await runWorker(client)).toMatchObject({ seen: 0 });
      await emit(client);
      expect(await runWorker(client)).toMatchObject({ seen: 1, attempts_written: 1 });
      expect((await whereIs(client, kept)).attempts).toHaveLength(1);
      expect(await prepare()).toMatchObject({ created: [] });
      expect(await conserved(client)).toBe('balanced');
    });

    test('an event that comes late, with an id of retired time, lands in the default partition and is routed', async () => {
      await setGate(client, true);
      await drop(client, old);
      const late = await oldEvent(client, 50);
      expect(await runWorker(client)).toMatchObject({ seen: 1, attempts_written: 1 });
      expect((await whereIs(client, late)).event).toBe('event_outbox_default');
      expect(await conserved(client)).toBe('balanced');
    });

    test('dead letters of retired events stay, and are replayed from their snapshot with the next numbers', async () => {
      await setGate(client, true);
      await client.query(`update iu_outbound_route set event_filter = 'strict $.kind'`);
      const id = await oldEvent(client, 50, { other: 1 });
      await runWorker(client);
      expect(await drop(client, old)).toMatchObject({ events: 1, attempts: 1 });
      const letter = await ask<string>(client, 'select dead_letter_id as answer from iu_route_dead_letter');
      const replay = () =>
        ask<object>(client, `select fn_iu_route_dead_letter_replay($1, 'me', 'mended') as answer`, [letter]);
      expect(await replay()).toMatchObject({ decision: 'failed', resolved: false, attempt_no: 2 });
      expect(await conserved(client)).toBe('balanced');
      await client.query('update iu_outbound_route set event_filter = null');
      expect(await replay()).toMatchObject({ decision: 'dry_run', resolved: true, attempt_no: 3 });
      const { rows } = await client.query(
        `select event_id, state, replay_count, last_attempt -> 'attempt_no' as attempt from iu_route_dead_letter`,
      );
      expect(rows).toEqual([{ event_id: id, state: 'resolved', replay_count: 2, attempt: 3 }]);
      const { rows: attempts } = await client.query(
        'select attempt_no, decision, idempotency_key from iu_route_attempt order by attempt_no',
      );
      const idempotency_key = `${id}:iu_version_applied:iu_outbound_default`;
      expect(attempts).toEqual([
        { attempt_no: 2, decision: 'failed', idempotency_key },
        { attempt_no: 3, decision: 'dry_run', idempotency_key },
      ]);
      expect(await conserved(client)).toBe('balanced');
    });

    test('a letter that belongs to no route is replayed from its snapshot, too', async () => {
      await setGate(client, true);
      await client.query(`create function broken() returns trigger language plpgsql as $$ begin
        if new.decision <> 'failed' then raise exception 'made up'; end if; return new; end $$`);
      await client.query('update iu_outbound_route set enabled = false');
      await client.query(
        'create trigger broken before insert on iu_route_attempt for each row execute function broken()',
      );
      await oldEvent(client, 50);
      expect(await runWorker(client)).toMatchObject({ dead_lettered: 1 });
      await client.query('drop trigger broken on iu_route_attempt');
      await client.query('update iu_outbound_route set enabled = true');
      await drop(client, old);
      expect(
        await ask(
          client,
          `select fn_iu_route_dead_letter_replay(dead_letter_id, 'me', 'mended') as answer from iu_route_dead_letter`,
        ),
      ).toMatchObject({ decision: 'skipped', resolved: true, attempt_no: 2 });
      const { rows } = await client.query(
        'select route_code, attempt_no, decision from iu_route_attempt order by route_code',
      );
      expect(rows).toEqual([
        { route_code: 'iu_version_applied', attempt_no: 1, decision: 'dry_run' },
        { route_code: null, attempt_no: 2, decision: 'skipped' },
      ]);
      expect(await conserved(client)).toBe('balanced');
    });

    test('an ordered subject goes on behind what was retired', async () => {
      await setGate(client, true);
      await client.query('update iu_outbound_route set ordered_by_subject = true');
      await oldEvent(client, 50);
      await oldEvent(client, 50);
      await runWorker(client);
      await drop(client, old);
      await emitOf(client, 'a');
      await emitOf(client, 'a');
      await runWorker(client);
      expect(await recorded(client)).toEqual(['a/3 dry_run', 'a/4 dry_run']);
      expect(await held(client)).toEqual([]);
    });

    describe('with versions whose events were retired', () => {
      let version: string;
      beforeEach(async () => {
        await setGate(client, true);
        await client.query(`select fn_iu_create_unit('a.md#b', 'B', 'one', 'me')`);
        await client.query('alter table unit_version disable trigger user');
        version = await ask<string>(
          client,
          `insert into unit_version (unit_id, version_seq, body, content_sha256, created_by, created_at)
           select id, 2, 'two', encode(sha256('two'), 'hex'), 'me', now() - interval '50 days'
           from information_unit returning id as answer`,
        );
        await client.query(`update information_unit set head_version_seq = 2`);
        await client.query('alter table unit_version enable trigger user');
        await client.query('alter table unit_version enable always trigger trg_iu_out_version');
        await oldEvent(client, 50, {}, { version });
        await runWorker(client);
        expect(await conservation()).toMatchObject({ balanced: true, versions_without_event: [] });
      });

      test('none of them is asked for any more', async () => {
        await drop(client, old);
        expect(await conservation()).toMatchObject({ balanced: true, versions_without_event: [] });
      });

      test('the way back of L3 writes the event that was missed, and none again that was retired', async () => {
        await drop(client, old);
        await applyFile(client, 'sql/iu-core/runtime/disable/l3_triggers.sql');
        await client.query(`select fn_iu_add_version('a.md#b', 'three', 'me')`);
        expect(await conservation()).toMatchObject({ balanced: false });
        await applyFile(client, 'sql/iu-core/runtime/disable/l3_triggers_back.sql');
        const { rows } = await client.query<{ seq: string }>(
          `select payload ->> 'version_seq' as seq from event_outbox`,
        );
        expect(rows).toEqual([{ seq: '3' }]);
        await runWorker(client);
        expect(await conserved(client)).toBe('balanced');
      });

      test.each([
        ['070_route_worker_verification', 9],
        ['100_route_worker_live_verification', 9],
      ])(
        'verification %s passes, when everything was retired and when something came since',
        async (file, count) => {
          await drop(client, old);
          expect(await ask(client, 'select count(*)::int as answer from iu_route_attempt')).toBe(0);
          const check = async () => {
            const checks = await readChecks(client, `sql/iu-core/runtime/${file}.sql`);
            expect(checks).toHaveLength(count);
            return checks.filter(({ verdict }) => verdict !== 'pass');
          };
          expect(await check()).toEqual([]);
          await emit(client);
          await runWorker(client);
          expect(verdicts(await check())).toEqual([]);
        },
      );
    });

    test('behind a reader it gives up at lock_timeout, and everything is left as it was', async () => {
      await setGate(client, true);
      await oldEvent(client, 50);
      await runWorker(client);
      const reader = await database.connect();
      await reader.query('begin; select count(*) from event_outbox');
      const before = [await partitions(), await planned(client)];
      for (const timeout of ['100ms', '0']) {
        await client.query('begin');
        await client.query(`set local lock_timeout = '${timeout}'`);
        expect(await sqlstateOf(drop(client, old)), timeout).toBe('55P03');
        await client.query('rollback');
      }
      expect([await partitions(), await planned(client)]).toEqual(before);
      expect(await conserved(client)).toBe('balanced');
      await emit(client);
      expect(await runWorker(client)).toMatchObject({ seen: 1 });
      await reader.query('rollback');
      expect(await drop(client, old)).toMatchObject({ events: 1 });
    });
  });
});
