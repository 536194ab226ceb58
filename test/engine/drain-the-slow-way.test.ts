import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { drainOnce } from '../../activities/drain-once.ts';
import type { DrainInput, DrainResult } from '../../contracts/drain.ts';
import { inTransaction } from '../../target/in-transaction.ts';
import type { Transact } from '../../target/transact.ts';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, settled } from '../sql-worker/support/worker.ts';
import { type TestEngine, testEngine } from '../support/engine.ts';
import { untilExecutes } from '../support/engine-facts.ts';

vi.setConfig({ testTimeout: 60_000 });

/** Of the whole batch and of one event, in milliseconds. */
const BATCH_MS = 1_500;
const EVENT_MS = 300;

let engine: TestEngine;
beforeAll(async () => {
  engine = await testEngine({ database: await installed(15, 'live'), changeTimeoutMs: BATCH_MS });
  await engine.sql.query(
    `alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk;
     insert into dot_config (key, value)
     values ('iu_core.delivery_enabled', 'true'), ('iu_core.delivery_live_routes', 'iu_version_applied, second')
     on conflict (key) do update set value = excluded.value;
     update iu_outbound_route set dry_run = false where route_code = 'iu_version_applied';
     create sequence t_calls;
     grant usage on sequence t_calls to public;
     create or replace function fn_iu_route_deliver(p_route_code text, p_event_id uuid, p_request jsonb)
     returns jsonb language plpgsql as $$
     declare
       v_does text := p_request -> 'safe_payload' ->> p_route_code;
     begin
       case v_does
         when 'hangs' then perform pg_sleep(600);
         when 'raises' then raise exception 'this one is refused';
         when 'is slow' then perform pg_sleep(0.2);
         when 'loses twice' then
           if nextval('public.t_calls') <= 2 then
             raise exception using errcode = p_request -> 'safe_payload' ->> 'sqlstate', message = 'lost';
           end if;
         when 'always loses' then raise exception using errcode = '40001', message = 'lost';
         else null;
       end case;
       return '{"status": "sent", "delivered": true}';
     end
     $$`,
  );
});
beforeEach(async () => {
  await engine.sql.query(`select setval('t_calls', 1, false)`);
});
afterAll(() => engine.close());

/** Writes one event for each payload; answers their ids. */
async function write(payloads: readonly object[]): Promise<string[]> {
  const { rows } = await engine.sql.query<{ id: string }>(
    `insert into event_outbox (event_domain, event_type, event_subject, payload, actor)
     select 'iu', 'version_applied', 'docs/a.md#b', payload, 'a test'
     from jsonb_array_elements($1) with ordinality as given (payload, place)
     order by place
     returning id`,
    [JSON.stringify(payloads)],
  );
  await settled(engine.sql);
  return rows.map(({ id }) => id);
}

async function drainToEnd(input: Partial<DrainInput> = {}): Promise<DrainResult> {
  return engine.client.workflow.execute<(input: DrainInput) => Promise<DrainResult>>('drain', {
    workflowId: `drain/${engine.target}/${randomUUID()}`,
    taskQueue: engine.taskQueue,
    args: [
      {
        target: engine.target,
        cursorCode: 'iu_outbound_default',
        batchSize: 500,
        forMs: 0,
        idleMs: 50,
        eventTimeoutMs: EVENT_MS,
        ...input,
      },
    ],
  });
}

/** One call as `sluice outbox drain` makes it, in a session of its own. */
async function drainDirectly(more: { lockTimeoutMs?: number; eventTimeoutMs?: number } = {}) {
  const client = await engine.database.connect({ application_name: 'drains directly' });
  const limits = { schema: 'public', lockTimeoutMs: 100, statementTimeoutMs: BATCH_MS, ...more };
  const transact: Transact = (mode, work) => inTransaction(client, mode, limits, work);
  return drainOnce(client, transact, {
    cursorCode: 'iu_outbound_default',
    batchSize: 500,
    statementTimeoutMs: BATCH_MS,
    eventTimeoutMs: EVENT_MS,
    ...more,
  }).finally(() => client.end());
}

/** Attempts of these events as `route status`, in the order of the events. */
async function attemptsOf(ids: readonly string[], sql: pg.Client = engine.sql): Promise<string[][]> {
  const { rows } = await sql.query<{ event_id: string; line: string }>(
    `select event_id, coalesce(route_code, '-') || ' ' || status as line
     from iu_route_attempt where event_id = any ($1) order by route_code`,
    [ids],
  );
  return ids.map((id) => rows.filter((row) => row.event_id === id).map((row) => row.line));
}

async function lettersOf(ids: readonly string[]): Promise<string[]> {
  const { rows } = await engine.sql.query<{ line: string }>(
    `select array_position($1, event_id) || ' ' || coalesce(route_code, '-') || ' ' || (failure_detail ->> 'sqlstate') as line
     from iu_route_dead_letter where event_id = any ($1) order by array_position($1, event_id), route_code`,
    [ids],
  );
  return rows.map((row) => row.line);
}

const isBalanced = () =>
  ask<boolean>(engine.sql, `select (fn_iu_conservation() ->> 'balanced')::boolean as answer`);
const many = (count: number) => Array.from({ length: count }, (_, n) => ({ n }));
const SENT = ['iu_version_applied sent'];
const FAILED = ['iu_version_applied failed'];

test('an event that hangs is dead-lettered alone, and every other is decided once', async () => {
  const ids = await write([...many(60), { iu_version_applied: 'hangs' }, ...many(60)]);
  const result = await drainToEnd();
  expect(result).toMatchObject({ events: 121, attempts: 121, deadLettered: 1, status: 'ran' });
  expect(await attemptsOf(ids)).toEqual([...many(60).map(() => SENT), FAILED, ...many(60).map(() => SENT)]);
  expect(await lettersOf(ids)).toEqual(['61 iu_version_applied 57014']);
  expect(await isBalanced()).toBe(true);
  expect(await drainToEnd()).toMatchObject({ events: 0, attempts: 0, deadLettered: 0 });
});

test('a batch that is only slow loses nothing and nobody', async () => {
  const ids = await write(many(12).map(() => ({ iu_version_applied: 'is slow' })));
  expect(await drainToEnd()).toMatchObject({ events: 12, attempts: 12, deadLettered: 0 });
  expect(await attemptsOf(ids)).toEqual(ids.map(() => SENT));
  expect(await lettersOf(ids)).toEqual([]);
});

test('of two routes that take an event, only the one that hangs or raises is dead-lettered', async () => {
  await engine.sql.query(
    `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref, enabled, dry_run)
     select 'second', event_domain, event_type, target_kind, target_ref, true, false
     from iu_outbound_route where route_code = 'iu_version_applied'`,
  );
  const ids = await write([{ second: 'hangs' }, {}, { iu_version_applied: 'raises', second: 'raises' }]);
  expect(await drainToEnd()).toMatchObject({ events: 3, attempts: 6, deadLettered: 3 });
  expect(await attemptsOf(ids)).toEqual([
    ['iu_version_applied sent', 'second failed'],
    ['iu_version_applied sent', 'second sent'],
    ['iu_version_applied failed', 'second failed'],
  ]);
  expect(await lettersOf(ids)).toEqual(['1 second 57014', '3 iu_version_applied P0001', '3 second P0001']);
  expect(await isBalanced()).toBe(true);
  await engine.sql.query(`update iu_outbound_route set enabled = false where route_code = 'second'`);
});

test('a person who cancels the statement stops the drain, and makes no dead letter', async () => {
  const ids = await write([{ iu_version_applied: 'hangs' }]);
  const draining = drainDirectly();
  const refused = expect(draining).rejects.toMatchObject({ code: '57014' });
  const pid = await untilExecutes(engine, 'fn_iu_route_worker_run');
  await engine.sql.query('select pg_cancel_backend($1)', [pid]);
  await refused;
  expect(await attemptsOf(ids)).toEqual([[]]);
  expect(await drainDirectly()).toMatchObject({ seen: 1, dead_lettered: 1 });
});

test.each(['40P01', '40001'])(
  'a batch that loses with %s is tried again until it comes through',
  async (sqlstate) => {
    const ids = await write([{ iu_version_applied: 'loses twice', sqlstate }, {}]);
    expect(await drainDirectly()).toMatchObject({ seen: 2, attempts_written: 2, dead_lettered: 0 });
    expect(await attemptsOf(ids)).toEqual([SENT, SENT]);
  },
);

test('after five tries a batch is given up in words, and nothing of it is lost', async () => {
  const ids = await write(many(3));
  const blocker = await engine.database.connect();
  await blocker.query('begin; lock table iu_route_attempt in share mode');
  await expect(drainDirectly()).rejects.toMatchObject({
    code: 'lock_timeout',
    text: {
      expected: 'A transaction that comes through within 5 tries.',
      safe: expect.stringMatching(/rolled back: nothing is lost/),
    },
  });
  await blocker.query('rollback');
  await blocker.end();
  expect(await attemptsOf(ids)).toEqual([[], [], []]);
  expect(await drainDirectly()).toMatchObject({ seen: 3, attempts_written: 3 });
  expect(await attemptsOf(ids)).toEqual([SENT, SENT, SENT]);
});
