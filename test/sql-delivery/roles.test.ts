import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker, sqlstateOf } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { liveRoute, ROUTE, tell } from './support/deliveries.ts';

const ROLES = ['iu_core_worker', 'iu_core_operator', 'iu_core_auditor', 'iu_core_emitter'] as const;
const TOKEN = randomUUID();

/** Each call, and who may make it. */
const CALLS: readonly (readonly [call: string, may: string])[] = [
  [`fn_iu_route_delivery_work('{report}')`, 'worker operator auditor'],
  [`fn_iu_route_delivery_claim('${ROUTE}', 1, 60000, gen_random_uuid(), 'x')`, 'worker operator'],
  [`fn_iu_route_delivery_renew('{${TOKEN}}', 60000)`, 'worker operator'],
  [`fn_iu_route_delivery_settle('${ROUTE}', '${TOKEN}', '[]')`, 'worker operator'],
  [`fn_iu_route_delivery_return('{${TOKEN}}')`, 'worker operator'],
  ['fn_iu_delivery_session_enter()', 'worker operator'],
  ['fn_iu_delivery_session_leave()', 'worker operator'],
  [`fn_iu_route_delivery_recall('${ROUTE}', 1, 'me', 'a test')`, 'operator'],
  [`fn_iu_delivery_function_fault('a.b')`, 'operator auditor'],
  [`fn_iu_route_delivery_bury('${ROUTE}', 1)`, ''],
  [`fn_iu_route_leases_held('${ROUTE}')`, ''],
  [`fn_iu_route_lease_is_held('${TOKEN}')`, ''],
  [`fn_iu_route_breaker_admit('${ROUTE}', 1, 1000)`, ''],
  [`fn_iu_route_breaker_note('${ROUTE}', 1, 1, 0, 1, 'x')`, ''],
  [`fn_iu_route_delivery_followers('w', '${ROUTE}', '{}')`, ''],
  [`fn_iu_delivery_call('${ROUTE}', gen_random_uuid(), '{}')`, ''],
  [`fn_iu_delivery_rival('${ROUTE}', gen_random_uuid(), '{}')`, ''],
];

describe.each([15, 18] as const)('who may do what with deliveries on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await installed(major, 'delivering');
    client = await database.connect();
    await liveRoute(client);
    await tell(client, 3);
    await runWorker(client);
  });
  afterAll(async () => {
    await database.drop();
  });
  /** The SQLSTATE of a statement as a role; nothing of it stays. */
  const as = async (role: string, sql: string) => {
    await client.query(`begin; set local role ${role}`);
    try {
      return await sqlstateOf(client.query(sql));
    } finally {
      await client.query('rollback');
    }
  };

  test.each(CALLS)('%s: %s, and nobody else', async (call, may) => {
    for (const role of ROLES) {
      const state = await as(role, `select ${call}`);
      // What may be called may still refuse for another reason, such as a route that is live.
      if (may.split(' ').includes(role.replace('iu_core_', ''))) expect(state, role).not.toBe('42501');
      else expect(state, role).toBe('42501');
    }
  });

  test('the list holds every function of the seam that anybody of these may execute', async () => {
    const granted = await ask<string[]>(
      client,
      `select array_agg(p.proname::text order by p.proname) as answer
       from pg_proc as p
       where p.pronamespace = 'public'::regnamespace
         and p.proname ~ '^fn_iu_(route_delivery|delivery_session|delivery_function)'
         and (has_function_privilege('iu_core_worker', p.oid, 'execute')
           or has_function_privilege('iu_core_operator', p.oid, 'execute')
           or has_function_privilege('iu_core_auditor', p.oid, 'execute'))`,
    );
    const told = CALLS.filter(([, may]) => may !== '').map(([call]) => call.replace(/\(.*/, ''));
    expect(granted).toEqual(told.toSorted());
  });

  test.each(['iu_route_delivery', 'iu_route_lease', 'iu_route_breaker'])(
    '%s is read by operator and auditor, and written by nobody but the owner',
    async (table) => {
      const column = table === 'iu_route_lease' ? 'leased_by' : 'route_code';
      for (const role of ROLES) {
        const mayRead = role === 'iu_core_operator' || role === 'iu_core_auditor';
        expect(await as(role, `select from ${table}`), role).toBe(mayRead ? 'none' : '42501');
        for (const write of [
          `insert into ${table} (${column}) values ('x')`,
          `update ${table} set ${column} = 'x'`,
          `delete from ${table}`,
          `truncate ${table}`,
        ])
          expect(await as(role, write), `${role}: ${write}`).toBe('42501');
      }
      expect(await as('iu_core_owner', `delete from ${table}`)).toBe('none');
    },
  );

  test('the worker alone carries a delivery from claim to settling, and a gate of its own it cannot open', async () => {
    const worker = await database.connect();
    await worker.query('set role iu_core_worker');
    expect(await ask(worker, 'select fn_iu_delivery_session_enter() as answer')).toBe(true);
    const { rows } = await worker.query<{ event_id: string }>(
      'select * from fn_iu_route_delivery_claim($1, 1, 60000, $2, $3)',
      [ROUTE, TOKEN, 'a worker'],
    );
    expect(await ask(worker, 'select fn_iu_route_delivery_renew($1, 60000) as answer', [[TOKEN]])).toEqual([
      TOKEN,
    ]);
    const outcomes = rows.map(({ event_id }) => ({ event_id, status: 'sent', delivered: true }));
    expect(
      await ask(worker, 'select fn_iu_route_delivery_settle($1, $2, $3) as answer', [
        ROUTE,
        TOKEN,
        JSON.stringify(outcomes),
      ]),
    ).toMatchObject({ settled: 1, sent: 1 });
    expect(await ask(worker, 'select fn_iu_route_delivery_return($1) as answer', [[TOKEN]])).toBe(1);
    await worker.query('select fn_iu_delivery_session_leave()');
    expect(await sqlstateOf(worker.query(`update dot_config set value = 'true'`))).toBe('42501');
    expect(await sqlstateOf(worker.query('update iu_outbound_route set dry_run = true'))).toBe('42501');
  });
});
