import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { drainOnce } from '../../activities/drain-once.ts';
import { inTransaction } from '../../target/in-transaction.ts';
import type { Transact } from '../../target/transact.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker, settled, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildApp, effects, FUNCTION, functionRoute } from './support/app-function.ts';
import {
  attempts,
  claim,
  conservedQueue,
  letters,
  liveRoute,
  queue,
  queued,
  ROUTE,
  resetCursor,
  setConfig,
  settle,
  tell,
} from './support/deliveries.ts';

vi.setConfig({ testTimeout: 60_000 });

describe.each([15, 18] as const)('the dispatcher on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeEach(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
  });
  afterEach(async () => {
    await database.drop();
  });
  /** Writes an event whose payload tells the function what to do; `n` numbers it. */
  const told = async (...does: (string | null)[]) => {
    for (const [at, what] of does.entries())
      await tell(client, 1, { n: at + 1, ...(what && { does: what }) });
  };

  describe('of a kind that leaves the database', () => {
    test.each(['workflow', 'vector', 'report', 'directus_flow', 'external_endpoint'])(
      '%s: a live event is one row of the queue and no attempt',
      async (kind) => {
        await liveRoute(client, ROUTE, { kind, ref: 'x' });
        await tell(client, 3);
        expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 0, dead_lettered: 0 });
        expect(await queue(client)).toEqual(['s1 #1 after 0', 's2 #1 after 0', 's3 #1 after 0']);
        expect(await attempts(client)).toEqual([]);
        expect(await conservedQueue(client)).toBe('balanced, 3 queued');
        expect(await runWorker(client)).toMatchObject({ seen: 0, attempts_written: 0 });
        expect(await queued(client)).toBe(3);
      },
    );

    test('the cursor and the queue move in one transaction', async () => {
      await liveRoute(client);
      await tell(client, 2);
      await settled(client);
      await client.query('begin');
      expect(await runWorker(client)).toMatchObject({ seen: 2 });
      await client.query('rollback');
      expect(await queued(client)).toBe(0);
      expect(await runWorker(client)).toMatchObject({ seen: 2 });
      expect(await queued(client)).toBe(2);
    });

    test('an event is queued for each live route that takes it, beside a route in dry run', async () => {
      await liveRoute(client);
      await liveRoute(client, 'second', { kind: 'report', ref: 'daily' });
      await liveRoute(client, 'trial', { dryRun: true });
      await tell(client, 2);
      expect(await runWorker(client)).toMatchObject({ seen: 2, attempts_written: 2 });
      expect(await queue(client)).toHaveLength(2);
      expect(await queue(client, 'second')).toHaveLength(2);
      expect(await attempts(client, 'trial')).toEqual(['dry_run #1', 'dry_run #1']);
      expect(await conservedQueue(client)).toBe('balanced, 4 queued');
    });

    test('a filter that raises makes a dead letter of its event, and the others of the batch are queued once', async () => {
      await liveRoute(client);
      await client.query(
        `update iu_outbound_route set event_filter = 'strict $.kind' where route_code = '${ROUTE}'`,
      );
      await tell(client, 1, { n: 1, kind: 'x' });
      await tell(client, 1, { n: 2 });
      await tell(client, 1, { n: 3, kind: 'x' });
      expect(await runWorker(client)).toMatchObject({ seen: 3, dead_lettered: 1 });
      expect(await queue(client)).toEqual(['1 #1 after 0', '3 #1 after 0']);
      expect(await letters(client)).toEqual(['open worker_process_error, 0 replays']);
      expect(await conservedQueue(client)).toBe('balanced, 2 queued');
    });
  });

  test.each([
    ['null'],
    [`'{}'`],
    [`'{"target_kind": "fax"}'`],
    [`'{"target_kind": null}'`],
    [`'{"target_kind": "report"}'`],
  ])('called directly with %s it raises feature_not_supported: the seam fails closed', async (request) => {
    expect(
      await sqlstateOf(client.query(`select fn_iu_route_deliver('x', gen_random_uuid(), ${request})`)),
    ).toBe('0A000');
    expect(await ask(client, 'select fn_iu_route_seam_fails_closed() as answer')).toBe(true);
  });

  describe('of kind sql_function', () => {
    beforeEach(async () => {
      await buildApp(client);
      await functionRoute(client, ROUTE);
    });
    const intact = async (events: number) => {
      expect(await ask(client, 'select count(*)::int as answer from event_outbox')).toBe(events);
      expect(await ask(client, `select fn_iu_gate_open('iu_core.retention_enabled') as answer`)).toBe(false);
      expect(await conservedQueue(client)).toBe('balanced');
      expect(await queued(client)).toBe(0);
    };

    test('the function is called once for each event, in the transaction of the attempt', async () => {
      await told(null, null, null);
      await settled(client);
      await client.query('begin');
      await runWorker(client);
      expect(await effects(client)).toEqual(['1', '2', '3']);
      await client.query('rollback');
      expect(await effects(client)).toEqual([]);
      expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 3 });
      expect(await effects(client)).toEqual(['1', '2', '3']);
      expect(await attempts(client)).toEqual(['sent #1 delivered', 'sent #1 delivered', 'sent #1 delivered']);
      await resetCursor(client);
      expect(await runWorker(client)).toMatchObject({ seen: 3, attempts_written: 0 });
      expect(await effects(client)).toHaveLength(3);
      await intact(3);
    });

    test('it is given the request and nothing about who routed it', async () => {
      const [event] = await tell(client, 1, { n: 1, big: 1 });
      await runWorker(client);
      expect(await ask(client, 'select request as answer from app.effect')).toEqual({
        route_code: ROUTE,
        event_ref: event,
        target_kind: 'sql_function',
        target_ref: FUNCTION,
        idempotency_key: `${event}:${ROUTE}`,
        safe_payload: { n: 1, big: 1 },
        event: {
          domain: 'iu',
          type: 'told',
          subject: 's1',
          subject_seq: null,
          created_at: expect.stringMatching(/Z$/),
        },
      });
    });

    test.each([
      ['answers nothing', 'sent #1 delivered', {}],
      ['answers the null of JSON', 'sent #1 delivered', {}],
      ['skips', 'skipped #1', { because: 'older' }],
      ['cannot say', 'sent #1', {}],
    ])('that %s is recorded as %s', async (does, told_, detail) => {
      await told(does);
      await runWorker(client);
      expect(await attempts(client)).toEqual([told_]);
      expect(await ask(client, 'select detail as answer from iu_route_attempt')).toEqual(detail);
      expect(await letters(client)).toEqual([]);
      await intact(1);
    });

    test.each([
      ['raises', 'worker_process_error', 'P0001'],
      ['commits', 'worker_process_error', '2D000'],
      ['rolls back', 'worker_process_error', '2D000'],
      ['drops the outbox', 'worker_process_error', '42501'],
      ['empties the audit', 'worker_process_error', '42501'],
      ['opens a gate', 'worker_process_error', '42501'],
      ['becomes the owner', 'worker_process_error', '42501'],
      ['moves the cursor', 'worker_process_error', '42501'],
      ['answers failed', 'target_failed', 'SL009'],
      ['answers text', 'target_failed', 'SL009'],
      ['answers a list', 'target_failed', 'SL009'],
      ['answers an unknown status', 'target_failed', 'SL009'],
      ['answers queued', 'target_failed', 'SL009'],
      ['answers delivered without sent', 'target_failed', 'SL009'],
      ['answers a detail that is a list', 'target_failed', 'SL009'],
      ['answers delivered in words', 'target_failed', 'SL009'],
    ])(
      'that %s is a dead letter (%s, %s); outbox and audit are whole, and the others are delivered once',
      async (does, code, state) => {
        await told(null, null, does, null);
        expect(await runWorker(client)).toMatchObject({ seen: 4, attempts_written: 4, dead_lettered: 1 });
        expect(await effects(client)).toEqual(['1', '2', '4']);
        expect(await attempts(client)).toEqual([
          'sent #1 delivered',
          'sent #1 delivered',
          `failed #1 ${code}`,
          'sent #1 delivered',
        ]);
        expect(await letters(client)).toEqual([`open ${code}, 0 replays`]);
        expect(
          await ask(client, `select failure_detail ->> 'sqlstate' as answer from iu_route_dead_letter`),
        ).toBe(state);
        await intact(4);
      },
    );

    test('one that sleeps beyond the statement timeout is a dead letter by the slow way; the others are delivered once', async () => {
      await told(null, 'sleeps', null, null);
      await settled(client);
      const session = await database.connect();
      const limits = { schema: 'public', lockTimeoutMs: 1_000, statementTimeoutMs: 1_500 };
      const transact: Transact = (mode, work) => inTransaction(session, mode, limits, work);
      const drained = await drainOnce(session, transact, {
        cursorCode: 'iu_outbound_default',
        batchSize: 100,
        statementTimeoutMs: 1_500,
        eventTimeoutMs: 400,
      });
      expect(drained).toMatchObject({ seen: 4, attempts_written: 4, dead_lettered: 1 });
      expect(await effects(client)).toEqual(['1', '3', '4']);
      expect(
        await ask(client, `select failure_detail ->> 'sqlstate' as answer from iu_route_dead_letter`),
      ).toBe('57014');
      await intact(4);
    });

    test('a letter is replayed by calling the function again, in the transaction of the next attempt', async () => {
      await told('raises');
      await runWorker(client);
      const replay = () =>
        ask<object>(
          client,
          `select fn_iu_route_dead_letter_replay(dead_letter_id, 'me', 'a test') as answer from iu_route_dead_letter`,
        );
      expect(await replay()).toMatchObject({
        status: 'replayed',
        decision: 'failed',
        resolved: false,
        attempt_no: 2,
      });
      await client.query(`create or replace function app.take(request jsonb) returns jsonb language sql
        security definer set search_path = app, pg_temp as $$ select '{"status": "sent", "delivered": true}'::jsonb $$`);
      expect(await replay()).toMatchObject({
        status: 'replayed',
        decision: 'sent',
        resolved: true,
        attempt_no: 3,
      });
      expect(await letters(client)).toEqual(['resolved worker_process_error, 2 replays']);
      await intact(1);
    });

    test('one that may not be called delivers nothing: a dead letter for each event, and the function is not touched', async () => {
      await setConfig(client, 'delivery_functions', 'app.other');
      await told(null, null);
      expect(await runWorker(client)).toMatchObject({ seen: 2, dead_lettered: 2 });
      expect(await effects(client)).toEqual([]);
      expect(
        await ask(
          client,
          `select array_agg(distinct (failure_detail ->> 'sqlstate') || ' ' || (failure_detail ->> 'message')) as answer
           from iu_route_dead_letter`,
        ),
      ).toEqual(['0A000 function app.take is not on the list iu_core.delivery_functions']);
      await intact(2);
    });

    describe('is asked for its fault', () => {
      const faultOf = (ref: string | null) =>
        ask<string | null>(client, 'select fn_iu_delivery_function_fault($1) as answer', [ref]);
      const functionOf = (
        name: string,
        more = 'security definer set search_path = app, pg_temp',
        returns = 'jsonb',
      ) =>
        client.query(`create function app.${name}(request jsonb) returns ${returns} language sql ${more}
          as $$ select null::jsonb $$; alter function app.${name}(jsonb) owner to test_app_owner`);
      beforeEach(async () => {
        await setConfig(client, 'delivery_functions', ' app.take, app.probe ,nowhere.probe, secret.probe');
      });

      test('which is none for one that may be called, in a list with spaces too', async () => {
        expect(await faultOf(FUNCTION)).toBe(null);
        await functionOf('probe');
        expect(await faultOf('app.probe')).toBe(null);
      });

      test.each([
        [null, /^target_ref null is not of the form schema\.function$/],
        ['', /not of the form/],
        ['take', /not of the form/],
        ['app.take(jsonb)', /not of the form/],
        ['app.take; drop table event_outbox', /not of the form/],
        ['App.Take', /not of the form/],
        ['"app".take', /not of the form/],
        ['a.app.take', /not of the form/],
        ['app.take\n', /not of the form/],
        [' app.take', /not of the form/],
        ['app.other', /^function app\.other is not on the list iu_core\.delivery_functions$/],
        ['app.probe', /^there is no function app\.probe\(jsonb\) that returns jsonb$/],
        ['nowhere.probe', /^there is no function nowhere\.probe\(jsonb\)/],
      ])('%j', async (ref, fault) => {
        expect(await faultOf(ref)).toMatch(fault);
      });

      test.each([
        ['another type', 'json', `select '{}'::json`],
        ['nothing', 'void', 'select null'],
        ['rows', 'setof jsonb', `select '{}'::jsonb`],
      ])('which returns %s', async (_, returns, body) => {
        await client.query(`create function app.probe(request jsonb) returns ${returns} language sql security definer
          set search_path = app, pg_temp as $$ ${body} $$; alter function app.probe(jsonb) owner to test_app_owner`);
        expect(await faultOf('app.probe')).toMatch(
          /^there is no function app\.probe\(jsonb\) that returns jsonb$/,
        );
      });

      test('which takes something else, is a procedure or an aggregate', async () => {
        await client.query(`create function app.probe(request json) returns jsonb language sql security definer
          set search_path = app, pg_temp as $$ select null::jsonb $$`);
        expect(await faultOf('app.probe')).toMatch(/^there is no function/);
        await client.query(`create procedure app.probe(request jsonb) language sql as $$ select 1 $$`);
        expect(await faultOf('app.probe')).toMatch(/^there is no function/);
        await client.query(`drop procedure app.probe(jsonb);
          create aggregate app.probe(jsonb) (sfunc = jsonb_concat, stype = jsonb)`);
        expect(await faultOf('app.probe')).toMatch(/^there is no function/);
      });

      test('which runs with the rights of its caller', async () => {
        await functionOf('probe', 'set search_path = app, pg_temp');
        expect(await faultOf('app.probe')).toBe(
          'function app.probe is not SECURITY DEFINER: it would run with the rights of IU Core',
        );
      });

      test('whose owner has the rights of IU Core: a superuser, the owner itself, a member', async () => {
        await functionOf('probe');
        for (const [owner, more] of [
          ['iu_core_owner', ''],
          ['current_user', ''],
          ['test_app_member', 'create role test_app_member nologin; grant iu_core_owner to test_app_member;'],
        ]) {
          await client.query(`begin; ${more} alter function app.probe(jsonb) owner to ${owner}`);
          expect(await faultOf('app.probe'), owner).toMatch(
            /^function app\.probe belongs to \S+, who has the rights of IU Core$/,
          );
          await client.query('rollback');
        }
        expect(await faultOf('app.probe')).toBe(null);
      });

      test('which pins no search_path', async () => {
        await functionOf('probe', `security definer set work_mem = '1MB'`);
        expect(await faultOf('app.probe')).toBe('function app.probe pins no search_path');
      });

      test('which IU Core may not execute, or whose schema it may not use; asking raises nothing', async () => {
        await functionOf('probe');
        await client.query('revoke execute on function app.probe(jsonb) from public');
        expect(await faultOf('app.probe')).toBe('iu_core_owner may not execute function app.probe');
        await client.query(`create schema secret;
          create function secret.probe(request jsonb) returns jsonb language sql security definer
          set search_path = secret, pg_temp as $$ select null::jsonb $$;
          alter function secret.probe(jsonb) owner to test_app_owner`);
        for (const role of ['iu_core_operator', 'iu_core_auditor', 'iu_core_owner']) {
          await client.query(`set role ${role}`);
          expect(await faultOf('secret.probe'), role).toBe(
            'iu_core_owner may not execute function secret.probe',
          );
          await client.query('reset role');
        }
      });
    });
  });

  test('a route that is turned from a function to an endpoint and back delivers each event once', async () => {
    await buildApp(client);
    await functionRoute(client, ROUTE);
    const turn = (kind: string, ref: string) =>
      client.query('update iu_outbound_route set target_kind = $1, target_ref = $2 where route_code = $3', [
        kind,
        ref,
        ROUTE,
      ]);
    await told(null);
    await runWorker(client);
    await turn('report', 'daily');
    await told(null);
    await runWorker(client);
    await turn('sql_function', FUNCTION);
    await resetCursor(client);
    await told(null);
    await runWorker(client);
    expect(await effects(client)).toHaveLength(2);
    expect(await queued(client)).toBe(1);
    await turn('report', 'daily');
    await settle(client, await claim(client));
    expect(await attempts(client)).toEqual(['sent #1 delivered', 'sent #1 delivered', 'sent #1 delivered']);
    expect(await conservedQueue(client)).toBe('balanced');
  });
});
