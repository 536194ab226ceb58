import type { ReplayProgress } from '../../contracts/replay.ts';
import { approve, change, check, noBackup, observe, type TestEngine } from './engine.ts';
import { reports, send, table, untilStatus, untilStep } from './engine-facts.ts';
import { waitFor } from './wait-for.ts';

type Handle = Awaited<ReturnType<TestEngine['start']>>;
type Played = Pick<Handle, 'fetchHistory'>;

/** Names of the saved histories; each file is `<scenario>-<release>.json`. */
export const SCENARIOS = [
  'success',
  'fail-and-undo',
  'cancel',
  'hold',
  'undo-of-an-ended-run',
  'drain',
  'drain-continued',
  'deliver',
  'deliver-continued',
  'retention',
  'replay',
  'replay-held',
  'replay-cancelled',
  'replay-continues',
  'replay-continued',
  'replay-by-policy',
] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** Runs each scenario to its end and returns the handle of the run that it is about. */
export const PLAY: Readonly<Record<Scenario, (engine: TestEngine) => Promise<Played>>> = {
  async success(engine) {
    const metric = {
      name: 'backlog',
      unit: 'events',
      script: engine.script('select 0 as value'),
      pass: { max: 0 },
    };
    const handle = await engine.start(
      await engine.plan([
        check('gate', [reports(engine, 'pass')]),
        noBackup(),
        change('one', [table(engine, 't_one')]),
        check('probe', [reports(engine, 'pass')], { kind: 'probe' }),
        approve(),
        change('two', [table(engine, 't_two')], { kind: 'enable' }),
        observe('watch', [{ ...metric, consecutiveSuccess: 1, failureLimit: 0 }], {
          windowMs: 300,
          intervalMs: 100,
        }),
        check('proof', [reports(engine, 'pass')], { kind: 'verify' }),
      ]),
    );
    await approvePending(handle);
    return ended(engine, handle);
  },
  async 'fail-and-undo'(engine) {
    const broken = { do: engine.script('select 1/0', 'broken.sql'), undo: engine.script('select 1') };
    const steps = [noBackup(), change('one', [table(engine, 't_one')]), change('broken', [broken])];
    return ended(engine, await engine.start(await engine.plan(steps)));
  },
  async cancel(engine) {
    const handle = await engine.start(
      await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve()]),
    );
    await untilStep(handle, 'approval', 'waiting');
    await handle.cancel();
    return ended(engine, handle);
  },
  async hold(engine) {
    const handle = await engine.start(
      await engine.plan([
        noBackup(),
        approve(),
        change('one', [table(engine, 't_one')]),
        check('gate', [reports(engine, 'inconclusive')]),
      ]),
    );
    await untilStep(handle, 'approval', 'waiting');
    await send(handle, 'hold');
    await approvePending(handle);
    await untilStatus(handle, ({ phase }) => phase === 'held');
    await send(handle, 'release');
    await untilStep(handle, 'gate', 'waiting');
    await send(handle, 'retryStep');
    await untilStatus(handle, ({ steps, held }) => held !== null && (steps.at(-1)?.attempts ?? 0) > 1);
    await send(handle, 'rollback');
    return ended(engine, handle);
  },
  async 'undo-of-an-ended-run'(engine) {
    const first = await engine.start(
      await engine.plan([noBackup(), change('one', [table(engine, 't_one')])]),
    );
    const { runId } = await engine.outcome(first);
    return ended(engine, await engine.undo(runId ?? ''));
  },
  async drain(engine) {
    const { workflowId, firstExecutionRunId } = await drained(engine);
    return engine.client.workflow.getHandle(workflowId, firstExecutionRunId);
  },
  async 'drain-continued'(engine) {
    const { workflowId } = await drained(engine);
    return engine.client.workflow.getHandle(workflowId);
  },
  async deliver(engine) {
    const { workflowId, firstExecutionRunId } = await delivered(engine);
    return engine.client.workflow.getHandle(workflowId, firstExecutionRunId);
  },
  async 'deliver-continued'(engine) {
    const { workflowId } = await delivered(engine);
    return engine.client.workflow.getHandle(workflowId);
  },
  async retention(engine) {
    await engine.sql.query(RETENTION_STAND_IN);
    const { client, target, taskQueue } = engine;
    const handle = await client.workflow.start('retention', {
      workflowId: `retention/${target}`,
      taskQueue,
      args: [{ target, apply: true, actor: 'ana', reason: 'a test' }],
    });
    await handle.result();
    return handle;
  },
  async replay(engine) {
    const handle = await replayed(engine, { letters: 4 });
    await handle.result();
    return handle;
  },
  async 'replay-held'(engine) {
    const handle = await replayed(engine, { letters: 4, isStuck: true });
    await steer(handle, 'hold');
    await waitFor(async () => (await handle.query<ReplayProgress>('status')).heldBy !== null);
    await steer(handle, 'setRate', { ratePerSecond: 1_000 });
    await engine.sql.query('update t_replay set is_stuck = false');
    await steer(handle, 'release');
    await handle.result();
    return handle;
  },
  async 'replay-cancelled'(engine) {
    const handle = await replayed(engine, { letters: 4, isStuck: true });
    await steer(handle, 'skip', { route: 'a_route' });
    await handle.cancel();
    await handle.result().catch(() => undefined);
    return handle;
  },
  async 'replay-continues'(engine) {
    const handle = await replayed(engine, { letters: 5, sliceMs: 1 });
    await handle.result();
    return engine.client.workflow.getHandle(handle.workflowId, handle.firstExecutionRunId);
  },
  async 'replay-continued'(engine) {
    const handle = await replayed(engine, { letters: 5, sliceMs: 1 });
    await handle.result();
    return engine.client.workflow.getHandle(handle.workflowId);
  },
  async 'replay-by-policy'(engine) {
    await standInForReplay(engine, { letters: 4 });
    const { client, target, taskQueue } = engine;
    const handle = await client.workflow.start('replayByPolicy', {
      workflowId: `replay/${target}`,
      taskQueue,
      args: [{ target, actor: 'ana', reason: 'a test' }],
    });
    await handle.result();
    return handle;
  },
};

interface ReplayScenario {
  readonly letters: number;
  /** It waits until `is_stuck` is taken away. */
  readonly isStuck?: boolean;
  readonly sliceMs?: number;
}

/** A replay, two slices in each run. */
async function replayed(engine: TestEngine, { sliceMs, ...scenario }: ReplayScenario): Promise<Handle> {
  await standInForReplay(engine, scenario);
  const { client, target, taskQueue } = engine;
  const limits = { batchSize: 2, slicesPerRun: 2, ...(sliceMs === undefined ? {} : { sliceMs }) };
  return client.workflow.start('replayDeadLetters', {
    workflowId: `replay/${target}/plan`,
    taskQueue,
    args: [{ target, planHash: 'plan', actor: 'ana', reason: 'a test', ...limits }],
  });
}

async function standInForReplay(engine: TestEngine, { letters, isStuck = false }: ReplayScenario) {
  await engine.sql.query(REPLAY_STAND_IN);
  await engine.sql.query('insert into t_replay (letters, is_stuck) values ($1, $2)', [letters, isStuck]);
}

async function steer(handle: Handle, name: string, given: object = {}): Promise<void> {
  await handle.executeUpdate<ReplayProgress, [object]>(name, {
    args: [{ actor: 'bo', reason: 'a test', ...given }],
  });
}

/** A chain of runs: five events, one batch of two in each slice, two slices in each run. */
async function drained(engine: TestEngine): Promise<Handle> {
  await engine.sql.query(WORKER_STAND_IN);
  const { client, target, taskQueue } = engine;
  const input = { cursorCode: 'a_cursor', batchSize: 2, forMs: 0, idleMs: 10, sliceMs: 1, slicesPerRun: 2 };
  const handle = await client.workflow.start('drain', {
    workflowId: `drain/${target}`,
    taskQueue,
    args: [{ ...input, target }],
  });
  await handle.result();
  return handle;
}

/** A chain of runs: two slices in each, for a while in which nothing is due. */
async function delivered(engine: TestEngine): Promise<Handle> {
  await engine.sql.query(DELIVERY_STAND_IN);
  const { client, target, taskQueue } = engine;
  const handle = await client.workflow.start('deliver', {
    workflowId: `deliver/${target}`,
    taskQueue,
    args: [{ target, forMs: 500, idleMs: 10, sliceMs: 100, slicesPerRun: 2 }],
  });
  await handle.result();
  return handle;
}

/** A history tells nothing of the database: functions of the same name and answer do. */
const WORKER_STAND_IN = `
  create table t_left (events integer);
  insert into t_left values (5);
  create function fn_iu_route_worker_run(p_cursor_code text, p_limit integer) returns jsonb language sql as $$
    with claimed as (select least(events, p_limit) as seen from t_left),
      advanced as (update t_left set events = events - (select seen from claimed) returning events)
    select jsonb_build_object('status', 'ran', 'seen', seen, 'attempts_written', seen, 'dead_lettered', 0)
    from claimed, advanced, (select pg_sleep(0.01)) as slept
  $$`;

const DELIVERY_STAND_IN = `
  create function fn_iu_route_delivery_work(p_kinds text[]) returns jsonb language sql as $$
    select '{"status": "open", "routes": []}'::jsonb
  $$`;

const RETENTION_STAND_IN = `
  create table iu_outbox_partition (event_partition text, events bigint, attempts bigint, retired_at timestamptz);
  create function fn_iu_retention_prepare() returns jsonb language sql as $$ select '{"created": ["p_3"]}'::jsonb $$;
  create function fn_iu_retention_plan() returns jsonb language sql as $$
    select '{"enabled": true, "keep_days": 30, "cutoff": "2026-01-01T00:00:00Z", "default_rows": 0, "partitions": [
      {"partition": "p_1", "upper_at": "2025-11-01", "events": 2, "attempts": 2, "leaves": true, "stays_because": null},
      {"partition": "p_2", "upper_at": "2026-02-01", "events": 1, "attempts": 1, "leaves": false, "stays_because": "kept for 30 days"}
    ]}'::jsonb
  $$;
  create function fn_iu_retention_drop(p_partition text, p_actor text, p_reason text) returns jsonb language sql as $$
    select jsonb_build_object('partition', p_partition, 'events', 2, 'attempts', 2)
  $$`;

const REPLAY_STAND_IN = `
  create table t_replay (
    letters integer, resolved integer default 0, held_by text, rate numeric, stops boolean default false, is_stuck boolean);
  create function t_progress() returns jsonb language sql as $$
    select jsonb_build_object(
      'planHash', 'plan', 'state', 'running', 'letters', letters, 'resolved', resolved, 'failed', 0, 'skipped', 0,
      'inFlight', 0, 'waiting', letters - resolved, 'tries', resolved, 'canary', 'none', 'ratePerSecond', rate,
      'heldBy', held_by, 'heldBecause', case when held_by is not null then 'a test' end)
    from t_replay
  $$;
  create function fn_iu_replay_open(p_plan_hash text, p_run jsonb, p_actor text, p_reason text) returns jsonb
  language sql as $$ select jsonb_build_object('planHash', p_plan_hash, 'progress', t_progress()) $$;
  create function fn_iu_replay_step(p_plan_hash text, p_run_id text, p_until text, p_limit integer, p_window integer)
  returns jsonb language plpgsql as $$
    declare
      v_resolved integer;
      v_is_going boolean;
    begin
      select resolved, not (is_stuck or stops or held_by is not null) into v_resolved, v_is_going from t_replay;
      if v_is_going then
        update t_replay set resolved = least(letters, resolved + p_limit);
      end if;
      return (
        select jsonb_build_object(
          'status', case
            when stops then 'cancelled'
            when held_by is not null then 'held'
            when resolved = letters then 'executed'
            when v_is_going then 'working'
            else 'waiting'
          end,
          'because', null, 'taken', resolved - v_resolved, 'dueInMs', null, 'usesQueue', false,
          'progress', t_progress())
        from t_replay);
    end
  $$;
  create function fn_iu_replay_steer(
    p_plan_hash text, p_run_id text, p_what text, p_value jsonb, p_actor text, p_reason text)
  returns jsonb language plpgsql as $$
    begin
      update t_replay set
        held_by = case p_what when 'hold' then p_actor when 'release' then null else held_by end,
        rate = case p_what when 'rate' then (p_value ->> 'ratePerSecond')::numeric else rate end,
        stops = stops or p_what = 'cancel';
      return t_progress();
    end
  $$;
  create function fn_iu_replay_close(p_plan_hash text, p_run_id text, p_outcome text, p_because text) returns jsonb
  language sql as $$ select t_progress() $$;
  create table iu_replay_policy (policy_code text, is_enabled boolean, min_age interval);
  insert into iu_replay_policy values ('a_policy', true, '0'), ('b_policy', false, '0');
  create table iu_replay_run (
    plan_hash text, run_no integer, workflow_id text, run_id text, temporal_namespace text, temporal_address text,
    temporal_cluster_id text, outcome text);
  create function t_plan() returns jsonb language sql as $$
    select '{"planHash": "plan", "letters": 4, "groups": [], "routes": [], "needsApproval": false, "approvedBy": null}'::jsonb
  $$;
  create function fn_iu_replay_plan_by_policy(p_policy_code text, p_actor text, p_reason text) returns jsonb
  language sql as $$ select t_plan() $$;
  create function fn_iu_replay_samples(p_plan_hash text, p_each integer)
  returns table (
    place integer, dead_letter_id uuid, route_code text, fingerprint text, target_kind text, target_ref text,
    config jsonb, mode text, request jsonb, payload text)
  language sql as $$
    select null::integer, null::uuid, null, null, null, null, null::jsonb, null, null::jsonb, null where false
  $$;
  create function fn_iu_replay_tried(p_plan_hash text, p_tried jsonb) returns void language sql as $$ $$;
  create function fn_iu_replay_read(p_plan_hash text) returns jsonb
  language sql as $$ select jsonb_build_object('plan', t_plan()) $$`;

async function approvePending(handle: Handle): Promise<void> {
  const { planHash, pendingApproval } = await untilStatus(
    handle,
    (status) => status.pendingApproval !== null,
  );
  await send(handle, 'approve', { planHash, fingerprint: pendingApproval?.fingerprint });
}

async function ended(engine: TestEngine, handle: Handle): Promise<Handle> {
  await engine.outcome(handle);
  return handle;
}
