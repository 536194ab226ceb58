import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { ActivityDependencies } from '../activities/dependencies.ts';
import { planByPolicy } from '../activities/plan-by-policy.ts';
import { NO_DELIVERY } from '../config/delivery-config.ts';
import type { PlannedByPolicy, ReplayPlan } from '../contracts/replay.ts';
import { deliveryRegistry } from '../delivery/delivery-registry.ts';
import { closeKeptSessions } from '../target/reuse-session.ts';
import { buildApp, functionRoute } from './sql-delivery/support/app-function.ts';
import { setConfig } from './sql-delivery/support/deliveries.ts';
import { installed } from './sql-worker/support/installed.ts';
import { ask, emit, runWorker } from './sql-worker/support/worker.ts';
import type { TestDatabase } from './support/create-database.ts';
import { ownTaskQueue, temporalAddress } from './support/temporal-address.ts';

vi.setConfig({ testTimeout: 60_000 });

let connection: Connection;
let temporal: ActivityDependencies['temporal'];
beforeAll(async () => {
  const address = temporalAddress();
  connection = await Connection.connect({ address });
  const { clusterId } = await connection.workflowService.getClusterInfo({});
  temporal = { client: new Client({ connection }), address, namespace: 'default', clusterId };
});
afterAll(() => connection.close());

let database: TestDatabase;
let client: pg.Client;
beforeEach(async () => {
  database = await installed(15, 'replaying');
  client = await database.connect();
  await buildApp(client);
});
afterEach(async () => {
  await closeKeptSessions();
  await database.drop();
});

function planned(url = database.url): Promise<PlannedByPolicy> {
  const attempt = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  const activity = planByPolicy({
    openTarget: async (name) => ({
      name,
      url,
      schema: 'public',
      lockTimeoutMs: 2_000,
      statementTimeoutMs: { check: 30_000, change: 30_000, probe: 30_000 },
      backupDir: '/nowhere',
      restoreUrl: null,
      toolDirs: [],
      delivery: NO_DELIVERY,
    }),
    registryOf: async () => deliveryRegistry(),
    temporal,
  });
  return attempt.run(activity, { target: 'test', actor: 'a schedule', reason: 'every hour' });
}

async function policy(code: string, filter: object = {}, isEnabled = true): Promise<void> {
  await client.query(
    `insert into iu_replay_policy
       (policy_code, is_enabled, filter, policy, min_age, max_letters, max_replays, changed_by, change_reason)
     values ($1, $2, $3, fn_iu_replay_policy_checked('{}'), '0', 100, 3, 'ana', 'a test')`,
    [code, isEnabled, JSON.stringify(filter)],
  );
}

/** Letters of a route of this name, whose function raises. */
async function letters(count: number, type: string): Promise<void> {
  await functionRoute(client, type, { type });
  for (let n = 0; n < count; n += 1) await emit(client, { does: 'raises' }, type);
  expect(await runWorker(client)).toMatchObject({ dead_lettered: count });
}

/** Lets the function take the events of these routes. */
const repair = (...routes: string[]) =>
  client.query(`
    create or replace function app.take(request jsonb) returns jsonb language plpgsql security definer
    set search_path = app, pg_temp as $$
    begin
      if request ->> 'route_code' = any ('{${routes.join(',')}}') then return null; end if;
      raise exception 'no room for %', request ->> 'event_ref';
    end $$`);

const planOf = (hash: string) =>
  ask<ReplayPlan & { readonly policyCode: string | null }>(
    client,
    `select fn_iu_replay_read($1) -> 'plan' as answer`,
    [hash],
  );
const plans = () => ask<number>(client, 'select count(*)::int as answer from iu_replay_plan');
const fingerprint = (route: string) =>
  ask<string>(
    client,
    'select distinct fingerprint as answer from iu_route_dead_letter where route_code = $1',
    [route],
  );

test('a policy that is switched on makes a plan, tried out; the others say why they make none', async () => {
  await letters(3, 'told');
  await repair('told');
  await policy('b-off', {}, false);
  await policy('c-nothing', { codes: ['http_503'] });
  await policy('a-on', { routes: ['told'] });
  const found = await planned();
  expect(found).toEqual({
    plans: [{ policy: 'a-on', planHash: expect.stringMatching(/^[0-9a-f]{64}$/), letters: 3 }],
    passedOver: [
      { policy: 'b-off', because: 'it is switched off' },
      { policy: 'c-nothing', because: 'nothing that it matches is to be replayed' },
    ],
  });
  expect(await planOf(found.plans[0]?.planHash ?? '')).toMatchObject({
    policyCode: 'a-on',
    actor: 'a schedule',
    groups: [{ route: 'told', letters: 3, tried: 3, fixed: 3 }],
  });
});

test('a repeated attempt takes the open plan again, and tries it out anew', async () => {
  await letters(1, 'told');
  await repair('told');
  await policy('on');
  const [first, second] = [await planned(), await planned()];
  expect(second).toEqual(first);
  expect(await plans()).toBe(1);
});

test('what still fails is not replayed: all of it is passed over, or it is left out of the plan', async () => {
  await letters(2, 'told');
  await letters(3, 'shown');
  await policy('on');
  const none = await planned();
  expect(none.plans).toEqual([]);
  expect(none.passedOver).toEqual([
    { policy: 'on', because: expect.stringMatching(/^5 of 5 letters still fail when they are tried out/) },
  ]);

  await repair('shown');
  const some = await planned();
  const [rest] = some.plans;
  expect(some).toEqual({
    plans: [{ policy: 'on', planHash: expect.any(String), letters: 3 }],
    passedOver: [
      {
        policy: 'on',
        because: `2 of 5 letters still fail when they are tried out (${await fingerprint('told')} of told); they stay open`,
      },
    ],
  });
  const skipped = `select jsonb_object_agg(route_code, states) as answer
    from (select route_code, jsonb_agg(distinct state) as states from iu_replay_letter where plan_hash = $1 group by 1) as counted`;
  expect(await ask(client, skipped, [rest?.planHash])).toEqual({ shown: ['waiting'], told: ['skipped'] });
  expect(JSON.stringify(some)).not.toContain('no room');
});

test('a plan that needs approval waits for it, tried out once, and goes on when it is given', async () => {
  await letters(3, 'told');
  await repair('told');
  await setConfig(client, 'replay_approval_above', '2');
  await policy('on');
  const [hash, because] = [/plan ([0-9a-f]{16})/, /has 3 letters and waits for somebody's approval$/];
  const waiting = await planned();
  expect(waiting).toEqual({
    plans: [],
    passedOver: [{ policy: 'on', because: expect.stringMatching(because) }],
  });
  expect(await planned()).toEqual(waiting);
  const [, short = ''] = hash.exec(waiting.passedOver[0]?.because ?? '') ?? [];
  expect((await planOf(short)).groups).toMatchObject([{ tried: 3, fixed: 3 }]);
  const tries = `select count(*)::int as answer from iu_replay_story where what = 'tried_out'`;
  expect(await ask(client, tries)).toBe(1);
  await ask(client, `select fn_iu_replay_approve($1, 'ben', 'looked at it') as answer`, [short]);
  expect((await planned()).plans).toMatchObject([{ policy: 'on', letters: 3 }]);
});

test('a plan that is being executed is left to its run; one whose run is gone goes on, one that was cancelled waits', async () => {
  await letters(1, 'told');
  await repair('told');
  await policy('on');
  const [{ planHash } = { planHash: '' }] = (await planned()).plans;
  const workflowId = `replay/test/${randomUUID()}`;
  const handle = await temporal.client.workflow.start('nobodyRunsThis', {
    workflowId,
    taskQueue: ownTaskQueue('by-policy'),
  });
  const run = {
    workflowId,
    runId: handle.firstExecutionRunId,
    temporalNamespace: temporal.namespace,
    temporalAddress: temporal.address,
    temporalClusterId: temporal.clusterId,
  };
  try {
    await ask(client, `select fn_iu_replay_open($1, $2, 'ana', 'a test') as answer`, [
      planHash,
      JSON.stringify(run),
    ]);
    expect(await planned()).toEqual({
      plans: [],
      passedOver: [
        {
          policy: 'on',
          because: `plan ${planHash.slice(0, 16)} is being executed by workflow ${workflowId}`,
        },
      ],
    });
  } finally {
    await handle.terminate('a test');
  }
  expect((await planned()).plans).toMatchObject([{ planHash }]);
  await ask(client, `select fn_iu_replay_close($1, $2, 'cancelled', 'ana') as answer`, [planHash, run.runId]);
  expect((await planned()).passedOver).toMatchObject([
    { because: `plan ${planHash.slice(0, 16)} was cancelled, and is for people to go on with` },
  ]);
});

test('the role of the worker plans by policy, with no right on any table', async () => {
  await letters(2, 'told');
  await repair('told');
  await policy('on');
  const asWorker = new URL(database.url);
  asWorker.searchParams.set('options', '-c role=iu_core_worker');
  expect(await planned(asWorker.href)).toMatchObject({
    plans: [{ policy: 'on', letters: 2 }],
    passedOver: [],
  });
  expect((await planOf((await planned(asWorker.href)).plans[0]?.planHash ?? '')).groups).toMatchObject([
    { tried: 2, fixed: 2 },
  ]);
});
