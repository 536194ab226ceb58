import type { WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import type { temporal as proto } from '@temporalio/proto';
import { replayWorkflowId } from '../../../contracts/names.ts';
import type { ReplayInput, ReplayProgress, ReplayResult } from '../../../contracts/replay.ts';
import { LOCAL_DELIVERY } from '../../delivery-activity/support/deliveries.ts';
import { buildApp, functionRoute } from '../../sql-delivery/support/app-function.ts';
import { setConfig } from '../../sql-delivery/support/deliveries.ts';
import { installed } from '../../sql-worker/support/installed.ts';
import { ask, runWorker } from '../../sql-worker/support/worker.ts';
import { type EngineOptions, type TestEngine, testEngine } from '../../support/engine.ts';

export type ReplayHandle = WorkflowHandleWithFirstExecutionRunId<
  (input: ReplayInput) => Promise<ReplayResult>
>;

/** What the application's function does from now on. */
export type Mode = 'raises' | 'sends' | 'is slow' | 'hangs for odd ones';

/** An engine on a database with planned replays, and an application whose function does as {@link behave} says. */
export async function replayingEngine(
  options: Omit<EngineOptions, 'database' | 'delivery'> = {},
): Promise<TestEngine> {
  const database = await installed(options.major ?? 15, 'replaying');
  const engine = await testEngine({ ...options, database, delivery: LOCAL_DELIVERY });
  await buildApp(engine.sql);
  await setConfig(engine.sql, 'delivery_enabled', 'true');
  await engine.sql.query(`
    create table app.mode (mode text not null);
    insert into app.mode values ('raises');
    grant select on app.mode to test_app_owner;
    create or replace function app.take(request jsonb) returns jsonb language plpgsql security definer
    set search_path = app, pg_temp as $$
      declare
        v_mode text := (select mode from app.mode);
      begin
        insert into app.effect (event_id, idempotency_key, request)
        values ((request ->> 'event_ref')::uuid, request ->> 'idempotency_key', request);
        case
          when v_mode = 'raises' then raise exception 'no room for %', request ->> 'event_ref';
          when v_mode = 'is slow' then perform pg_sleep(0.02);
          when v_mode = 'hangs for odd ones' and (request #>> '{safe_payload,n}')::integer % 2 = 1
            then perform pg_sleep(600);
          else null;
        end case;
        return null;
      end
    $$`);
  return engine;
}

export async function behave({ sql }: TestEngine, mode: Mode): Promise<void> {
  await sql.query('update app.mode set mode = $1', [mode]);
}

/** Dead letters of a route of its own, each with its number; the function raises meanwhile. */
export async function deadLetters(engine: TestEngine, route: string, letters: number): Promise<void> {
  const { sql } = engine;
  await behave(engine, 'raises');
  await functionRoute(sql, route, { type: route });
  await sql.query(
    `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
     select 'iu', $1, 'subject ' || n, jsonb_build_object('n', n), 'a test'
     from generate_series(1, $2) as n`,
    [route, letters],
  );
  const { dead_lettered } = await runWorker(sql, 10_000);
  if (dead_lettered !== letters) throw new Error(`${dead_lettered} of ${letters} became dead letters`);
}

/** Freezes the open letters of a route; without a policy they go as fast as it goes, without a canary. */
export function planOf({ sql }: TestEngine, route: string, policy: object = {}): Promise<string> {
  const careless = { canary: 0, ratePerSecond: null, failureLimit: 0 };
  return ask<string>(sql, `select fn_iu_replay_plan($1, $2, 'cleo', 'mended') ->> 'planHash' as answer`, [
    JSON.stringify({ routes: [route] }),
    JSON.stringify({ ...careless, ...policy }),
  ]);
}

export function startReplay(
  { client, target, taskQueue }: TestEngine,
  planHash: string | null,
  { workflowId, ...input }: Partial<ReplayInput> & { readonly workflowId?: string } = {},
): Promise<ReplayHandle> {
  return client.workflow.start<(input: ReplayInput) => Promise<ReplayResult>>('replayDeadLetters', {
    workflowId: workflowId ?? replayWorkflowId(target, planHash ?? ''),
    taskQueue,
    args: [{ target, planHash, actor: 'ana', reason: 'a test', ...input }],
  });
}

export function progressOf(handle: Pick<ReplayHandle, 'query'>): Promise<ReplayProgress> {
  return handle.query<ReplayProgress>('status');
}

/** How far the rows have come. */
export function rowsOf({ sql }: TestEngine, planHash: string): Promise<ReplayProgress> {
  return ask<ReplayProgress>(sql, `select fn_iu_replay_read($1) -> 'progress' as answer`, [planHash]);
}

export function steer(
  handle: Pick<ReplayHandle, 'executeUpdate'>,
  name: string,
  given: object = {},
): Promise<ReplayProgress> {
  return handle.executeUpdate<ReplayProgress, [object]>(name, {
    args: [{ actor: 'bo', reason: 'a test', ...given }],
  });
}

export async function detailsOf(handle: Pick<ReplayHandle, 'query'>): Promise<string> {
  const metadata = await handle.query<proto.api.sdk.v1.IWorkflowMetadata>('__temporal_workflow_metadata');
  return metadata.currentDetails ?? '';
}

/** Attempts of a route's letters by number and status, such as `1 failed: 3`. */
export function attemptsOf({ sql }: TestEngine, route: string): Promise<string[]> {
  return ask<string[]>(
    sql,
    `select coalesce(array_agg(line order by line), '{}') as answer
     from (
       select format('%s %s: %s', attempt_no, status, count(*)) as line
       from iu_route_attempt
       where route_code = $1
       group by attempt_no, status
     ) as counted`,
    [route],
  );
}

/** What the function did for a route and nobody rolled back: calls, and keys among them. */
export function effectsOf({ sql }: TestEngine, route: string): Promise<{ calls: number; keys: number }> {
  return ask(
    sql,
    `select jsonb_build_object('calls', count(*), 'keys', count(distinct idempotency_key)) as answer
     from app.effect where request ->> 'route_code' = $1`,
    [route],
  );
}

/** What happened to a plan, in order: `hold by bo: a test`. */
export function storyOf({ sql }: TestEngine, planHash: string): Promise<string[]> {
  return ask<string[]>(
    sql,
    `select array_agg(format('%s by %s: %s', line ->> 'what', line ->> 'actor', line ->> 'reason')) as answer
     from jsonb_array_elements(fn_iu_replay_read($1) -> 'story') as line`,
    [planHash],
  );
}

/** Outcomes of a plan's runs, in order. */
export function runsOf({ sql }: TestEngine, planHash: string): Promise<string[]> {
  return ask<string[]>(
    sql,
    `select array_agg(run ->> 'outcome') as answer from jsonb_array_elements(fn_iu_replay_read($1) -> 'runs') as run`,
    [planHash],
  );
}
