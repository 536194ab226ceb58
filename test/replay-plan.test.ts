import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type DeliveryConfig, NO_DELIVERY } from '../config/delivery-config.ts';
import type { PlanGroup, ReplayFilter, ReplayPlan } from '../contracts/replay.ts';
import { buildRegistry, closeRegistry } from '../delivery/build-registry.ts';
import type { DeliveryRegistry } from '../delivery/delivery-registry.ts';
import { planReplay } from '../replay/plan-replay.ts';
import { tryOut } from '../replay/try-out.ts';
import { inTransaction } from '../target/in-transaction.ts';
import type { Transact } from '../target/transact.ts';
import { buildApp, effects, functionRoute } from './sql-delivery/support/app-function.ts';
import { claim, DEAD, liveRoute, setConfig, settle } from './sql-delivery/support/deliveries.ts';
import { installed } from './sql-worker/support/installed.ts';
import { ask, runWorker, sqlstateOf } from './sql-worker/support/worker.ts';
import type { TestDatabase } from './support/create-database.ts';

const LIMITS = { schema: 'public', lockTimeoutMs: 2_000, statementTimeoutMs: 30_000 };

let database: TestDatabase;
let client: pg.Client;
/** What a session sees that opens no probe. */
let other: pg.Client;
let dir: string;
let registry: DeliveryRegistry;
let delivery: DeliveryConfig;

async function open(major: 15 | 18): Promise<void> {
  database = await installed(major, 'replaying');
  client = await database.connect();
  other = await database.connect();
  await buildApp(client);
  dir = await mkdtemp(join(tmpdir(), 'sluice-plan-'));
  delivery = {
    ...NO_DELIVERY,
    report: { dir: join(dir, 'reports') },
    externalEndpoint: { source: 'urn:test' },
    workflow: {},
  };
  registry = buildRegistry(delivery, { temporal: null, env: {} });
}
afterEach(async () => {
  await closeRegistry(registry);
  await rm(dir, { recursive: true });
  await database.drop();
});

const transact: Transact<'read only' | 'read write'> = (mode, work) =>
  inTransaction(client, mode, LIMITS, work);
const plan = (filter: ReplayFilter = {}, samples = 5): Promise<ReplayPlan> =>
  planReplay({
    client,
    transact,
    target: { name: 'test', delivery },
    registry,
    filter,
    policy: {},
    actor: 'ana',
    reason: 'a test',
    samples,
  });
/** Of each group, by its code or the route: how the try-out went. */
const told = ({ groups }: ReplayPlan) =>
  groups.map(({ route, tried, fixed, stillFailing, unknown, because }) => ({
    route,
    tried,
    fixed,
    stillFailing,
    unknown,
    because,
  }));
const only = (made: ReplayPlan): PlanGroup => {
  const [group, ...more] = made.groups;
  if (group === undefined || more.length > 0) throw new Error(`${made.groups.length} groups`);
  return group;
};

/** Events of a type, each of its own subject, with these payloads. */
async function tell(type: string, payloads: readonly object[]): Promise<void> {
  for (const [n, payload] of payloads.entries()) {
    await ask(client, `select fn_iu_emit_event('iu', $1, $2, null, $3, 'a test') as answer`, [
      type,
      `${type} ${n}`,
      JSON.stringify({ n, ...payload }),
    ]);
  }
}

/** Letters of a function that raised. */
async function raised(count: number, route = 'to_app', type = 'told'): Promise<void> {
  await functionRoute(client, route, { type });
  await tell(
    type,
    Array.from({ length: count }, () => ({ does: 'raises' })),
  );
  expect(await runWorker(client)).toMatchObject({ dead_lettered: count });
}

/** Letters of a kind that is delivered from outside, which failed with `code`. */
async function undelivered(
  route: { readonly kind: string; readonly ref: string; readonly code?: string; readonly config?: object },
  payloads: readonly object[],
): Promise<void> {
  const { kind, ref, code = 'http_400', config = {} } = route;
  await liveRoute(client, kind, { kind, ref, type: kind });
  await client.query('update iu_outbound_route set config = $2 where route_code = $1', [
    kind,
    JSON.stringify(config),
  ]);
  await tell(kind, payloads);
  await runWorker(client);
  const lease = await claim(client, 100, { route: kind });
  expect(await settle(client, lease, { ...DEAD, code }, kind)).toMatchObject({
    dead_lettered: payloads.length,
  });
}

/** The function of the application as it is after somebody has put it right. */
const put = (body: string) =>
  client.query(`
    create or replace function app.take(request jsonb) returns jsonb language plpgsql security definer
    set search_path = app, pg_temp as $$
    begin
      insert into app.effect (event_id, idempotency_key, request)
      values ((request ->> 'event_ref')::uuid, request ->> 'idempotency_key', request);
      ${body}
      return null;
    end $$`);

/** All that a try-out could change: letters, attempts, queue, effects, cursors. */
const everything = () =>
  ask<object>(
    other,
    `select jsonb_build_object(
       'letters', (select jsonb_agg(to_jsonb(l) order by l.dead_letter_id) from iu_route_dead_letter l),
       'attempts', (select jsonb_agg(to_jsonb(a) order by a.idempotency_key, a.attempt_no) from iu_route_attempt a),
       'queue', (select count(*) from iu_route_delivery),
       'effects', (select count(*) from app.effect),
       'probes', (select count(*) from iu_probe_marker),
       'cursors', (select jsonb_agg(to_jsonb(c)) from iu_route_worker_cursor c)) as answer`,
  );

describe.each([15, 18] as const)('a plan on PostgreSQL %i', (major) => {
  beforeEach(() => open(major));

  test('a function that was put right is fixed, one that was not still fails, and nothing of either stays', async () => {
    await raised(7);
    const before = await everything();
    const failing = await plan();
    expect(failing).toMatchObject({ letters: 7, planHash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(told(failing)).toEqual([
      {
        route: 'to_app',
        tried: 5,
        fixed: 0,
        stillFailing: 5,
        unknown: 0,
        because: expect.stringMatching(/^no room for [0-9a-f-]{36} \(P0001\)$/),
      },
    ]);
    await put('');
    const fixed = await plan({}, 3);
    expect(told(fixed)).toEqual([
      { route: 'to_app', tried: 3, fixed: 3, stillFailing: 0, unknown: 0, because: null },
    ]);
    expect(await everything()).toEqual(before);
    expect(await effects(other)).toEqual([]);
    const stored = await ask<ReplayPlan>(other, `select fn_iu_replay_read($1) -> 'plan' as answer`, [
      fixed.planHash,
    ]);
    expect(stored).toEqual(fixed);
    expect(stored.planHash).not.toBe(failing.planHash);
  });

  test('a function that takes too long still fails, and the letters after it are tried', async () => {
    await raised(3);
    await put(`if (request #>> '{safe_payload,n}') = '1' then perform pg_sleep(600); end if;`);
    const made = await plan({}, 0);
    const [group] = await tryOut({
      client,
      transact,
      target: { delivery },
      registry,
      plan: { ...made, planHash: made.planHash ?? '' },
      samples: 5,
      letterTimeoutMs: 300,
    });
    expect(group).toMatchObject({
      tried: 3,
      fixed: 2,
      stillFailing: 1,
      because: 'it takes longer than 300 ms',
    });
    expect(await effects(other)).toEqual([]);
  });
});

describe('a try-out', () => {
  beforeEach(() => open(15));

  test('can never be committed: the database refuses even a caller that commits in spite of it', async () => {
    await raised(2);
    await put('');
    const before = await everything();
    const refused: string[] = [];
    /** Commits whatever the work says. */
    const careless: Transact<'read only' | 'read write'> = async (mode, work) => {
      await client.query(
        `begin isolation level read committed, ${mode === 'read only' ? mode : 'read write'}`,
      );
      const outcome = await work().then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
      refused.push(await sqlstateOf(client.query('commit')));
      if ('error' in outcome) throw outcome.error;
      return outcome.value;
    };
    const made = await plan({}, 0);
    const given = {
      client,
      target: { delivery },
      registry,
      plan: { ...made, planHash: made.planHash ?? '' },
    };
    expect(await tryOut({ ...given, transact: careless, samples: 1 })).toMatchObject([{ fixed: 1 }]);
    expect(refused).toEqual(['none', 'SL005']);
    expect(await everything()).toEqual(before);
    expect(await effects(other)).toEqual([]);

    // The same call outside of a probe is committed, and takes effect.
    const id = await ask<string>(
      client,
      'select min(dead_letter_id::text) as answer from iu_route_dead_letter',
    );
    await careless('read write', () =>
      client.query(`select fn_iu_route_dead_letter_replay($1, 'ana', 'a test')`, [id]),
    );
    expect(refused.at(-1)).toBe('none');
    expect(await everything()).not.toEqual(before);
    expect(await effects(other)).toHaveLength(1);
  });

  test('a constraint that is checked at COMMIT is checked before: what would fail there still fails', async () => {
    await raised(1);
    await client.query(`
      create table app.known (id uuid primary key);
      alter table app.effect add constraint event_is_known foreign key (event_id) references app.known
        deferrable initially deferred`);
    await put('');
    const failing = only(await plan());
    expect(failing).toMatchObject({ tried: 1, stillFailing: 1 });
    expect(failing.because).toMatch(/event_is_known.*\(23503\)$/);
    await client.query('insert into app.known select event_id from iu_route_dead_letter');
    expect(only(await plan())).toMatchObject({ fixed: 1, stillFailing: 0 });
  });

  test('an error that says nothing about the letter leaves it unknown', async () => {
    await raised(1);
    for (const state of ['40001', '40P01', '53200', '55P03', '57014']) {
      await put(`raise exception using errcode = '${state}', message = 'not now';`);
      expect(only(await plan())).toMatchObject({
        tried: 1,
        stillFailing: 0,
        unknown: 1,
        because: `not now (${state})`,
      });
    }
  });

  test('a function that expects another payload by now still fails, with its message', async () => {
    await raised(1);
    await put(`
      if request -> 'safe_payload' -> 'amount' is null then
        raise exception 'the payload has no amount' using errcode = '22023';
      end if;`);
    expect(only(await plan())).toMatchObject({
      tried: 1,
      stillFailing: 1,
      because: 'the payload has no amount (22023)',
    });
  });

  test('a function that is gone, or is not allowed any more, still fails', async () => {
    await raised(1);
    await setConfig(client, 'delivery_functions', '');
    expect(only(await plan()).because).toContain('is not on the list iu_core.delivery_functions');
    await setConfig(client, 'delivery_functions', 'app.take');
    await client.query('drop function app.take(jsonb)');
    expect(only(await plan())).toMatchObject({
      stillFailing: 1,
      because: expect.stringContaining('there is no function app.take(jsonb)'),
    });
  });

  test('a function that checks constraints itself meets the one of the probe, which says nothing about it', async () => {
    await raised(1);
    await put('set constraints all immediate;');
    expect(only(await plan())).toMatchObject({
      tried: 1,
      unknown: 1,
      because: expect.stringContaining('probe'),
    });
  });

  test('a letter of no route is tried like one of a function', async () => {
    const broken = `create function broken() returns trigger language plpgsql as $$ begin raise exception 'no row today'; end $$`;
    await client.query(broken);
    await client.query(
      'create trigger broken before insert on iu_route_attempt for each row when (new.decision <> $$failed$$) execute function broken()',
    );
    await tell('of_nobody', [{}]);
    expect(await runWorker(client)).toMatchObject({ dead_lettered: 1 });
    const of = async () => (await plan()).groups.find(({ route }) => route === null);
    expect(await of()).toMatchObject({ tried: 1, stillFailing: 1, because: 'no row today (P0001)' });
    await client.query('drop trigger broken on iu_route_attempt');
    expect(await of()).toMatchObject({ tried: 1, fixed: 1, because: null });
  });

  test('behind a closed gate nothing is tried, and the gate is named', async () => {
    await raised(2);
    await put('');
    const because = async () => {
      const { tried, unknown, because } = only(await plan());
      expect({ tried, unknown }).toEqual({ tried: 0, unknown: 2 });
      return because;
    };
    await setConfig(client, 'route_worker_enabled', 'false');
    expect(await because()).toBe('gate iu_core.route_worker_enabled is closed');
    await setConfig(client, 'route_worker_enabled', 'true');
    await setConfig(client, 'delivery_enabled', 'false');
    expect(await because()).toBe('gate iu_core.delivery_enabled is closed');
    await setConfig(client, 'delivery_enabled', 'true');
    await setConfig(client, 'delivery_live_routes', '');
    expect(await because()).toBe('iu_core.delivery_live_routes does not name the route');
    await setConfig(client, 'delivery_live_routes', 'to_app');
    expect(only(await plan())).toMatchObject({ tried: 2, fixed: 2 });
    await client.query('update iu_outbound_route set dry_run = true');
    expect(only(await plan({ includeDryRun: true }))).toMatchObject({
      tried: 0,
      because: expect.stringContaining('dry run'),
    });
  });

  test('a letter that somebody else has is unknown, and is not waited for', async () => {
    await raised(1);
    await put('');
    await other.query('begin; select from iu_route_dead_letter for update');
    expect(only(await plan())).toMatchObject({
      tried: 0,
      unknown: 1,
      because: 'somebody else has the letter',
    });
    await other.query('rollback');
    expect(only(await plan())).toMatchObject({ fixed: 1 });
  });

  test('every kind of failure is tried before a second letter of one, and what is left when the time is over is unknown', async () => {
    await raised(3, 'one', 'told_one');
    await raised(3, 'two', 'told_two');
    await put('perform pg_sleep(0.3);');
    const made = await plan({}, 0);
    const tried = await tryOut({
      client,
      transact,
      target: { delivery },
      registry,
      plan: { ...made, planHash: made.planHash ?? '' },
      samples: 3,
      totalMs: 450,
    });
    expect(tried.map(({ tried, fixed, unknown }) => ({ tried, fixed, unknown }))).toEqual([
      { tried: 1, fixed: 1, unknown: 2 },
      { tried: 1, fixed: 1, unknown: 2 },
    ]);
    expect(tried[0]?.because).toBe('the 0.45 s of the try-out were over');
  });

  test('a role that may open no probe gets its plan, and reads why nothing was tried', async () => {
    await raised(1);
    await client.query('revoke execute on function fn_iu_probe_begin() from public, iu_core_operator');
    await client.query('set role iu_core_operator');
    const made = await plan();
    await client.query('reset role');
    expect(only(made)).toMatchObject({ tried: 0, unknown: 1, because: expect.stringContaining('(42501)') });
  });

  test('an operator of the target can plan and try out', async () => {
    await raised(1);
    await put('');
    await client.query('set role iu_core_operator');
    const made = await plan();
    await client.query('reset role');
    expect(only(made)).toMatchObject({ tried: 1, fixed: 1 });
  });
});

describe('a plan of letters whose target lies outside', () => {
  beforeEach(() => open(15));

  test('a report is tried, and nothing is written', async () => {
    await undelivered({ kind: 'report', ref: 'weekly', code: 'report_unwritable' }, [{}, {}]);
    expect(only(await plan())).toMatchObject({ tried: 2, fixed: 2, because: null });
    expect(await readdir(dir)).toEqual([]);
    await client.query(`update iu_outbound_route set config = '{"max_body_bytes": 10}'`);
    expect(only(await plan())).toMatchObject({
      tried: 2,
      stillFailing: 2,
      because: expect.stringMatching(/^The entry has \d+ bytes, and the route allows 10$/),
    });
  });

  test('a failure that a try-out does not reach stays unknown', async () => {
    await undelivered({ kind: 'report', ref: 'weekly', code: 'disk_full' }, [{}]);
    expect(only(await plan())).toMatchObject({
      fixed: 0,
      unknown: 1,
      because: expect.stringContaining('room on the disk'),
    });
  });

  test('an endpoint is never called: unknown, but for what is known without a call', async () => {
    const route = { kind: 'external_endpoint', ref: 'https://receiver.example/in' };
    await undelivered({ ...route, config: { unsigned: true } }, [{}, {}, { long: 'x'.repeat(5_000) }]);
    expect(told(await plan())).toEqual([
      {
        route: 'external_endpoint',
        tried: 0,
        fixed: 0,
        stillFailing: 0,
        unknown: 3,
        because: 'an external endpoint is never called',
      },
    ]);
    await client.query(
      `update iu_outbound_route set config = '{"unsigned": true, "max_body_bytes": 2000}' where route_code = $1`,
      [route.kind],
    );
    expect(only(await plan())).toMatchObject({
      tried: 1,
      stillFailing: 1,
      unknown: 2,
      because: expect.stringMatching(/^The body has \d+ bytes, and the route allows 2000$/),
    });
    await client.query(`update iu_outbound_route set config = '{}' where route_code = $1`, [route.kind]);
    expect(only(await plan())).toMatchObject({
      tried: 3,
      stillFailing: 3,
      because: expect.stringContaining('signing_secrets'),
    });
  });

  test('a workflow is never started, and one of sluice itself is known to be refused', async () => {
    await undelivered({ kind: 'workflow', ref: 'reports/Weekly' }, [{}]);
    expect(only(await plan())).toMatchObject({
      tried: 0,
      unknown: 1,
      because: 'a workflow is never started',
    });
    await client.query(
      `update iu_outbound_route set target_ref = 'sluice/macro' where route_code = 'workflow'`,
    );
    expect(only(await plan())).toMatchObject({ stillFailing: 1, because: expect.stringContaining('sluice') });
  });

  test('a kind that nothing is configured for still fails', async () => {
    await undelivered({ kind: 'vector', ref: 'search.pieces' }, [{}]);
    expect(only(await plan())).toMatchObject({
      tried: 1,
      stillFailing: 1,
      because: 'Delivery to a target of kind vector is not built here',
    });
  });

  test('a target address that changed since is shown, and the new one is tried', async () => {
    await undelivered({ kind: 'report', ref: 'weekly' }, [{}]);
    await client.query(`update iu_outbound_route set target_ref = 'daily' where route_code = 'report'`);
    const made = await plan();
    expect(made.routes).toMatchObject([
      { route: 'report', targetRef: 'daily', formerTargetRefs: ['weekly'] },
    ]);
    expect(only(made)).toMatchObject({ tried: 1, fixed: 1 });
  });

  test('letters of a route that was deleted since are left alone, and counted', async () => {
    await undelivered({ kind: 'report', ref: 'weekly' }, [{}, {}]);
    await client.query(`delete from iu_outbound_route where route_code = 'report'`);
    expect(await plan()).toMatchObject({
      planHash: null,
      letters: 0,
      excluded: [{ because: 'route_removed', route: 'report', letters: 2 }],
    });
    expect(await ask(client, 'select count(*)::int as answer from iu_replay_plan')).toBe(0);
  });

  test('a filter that is not understood is refused in words', async () => {
    await expect(plan({ maxLetters: 0 })).rejects.toMatchObject({ code: 'SL010' });
    await expect(plan({ ids: ['6a0e6f0e-0000-4000-8000-000000000000'] })).rejects.toThrow(
      'There is no dead letter',
    );
  });
});
