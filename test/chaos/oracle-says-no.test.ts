import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ChaosCluster, startChaosCluster } from './chaos-cluster.ts';
import { connected, createChaosDatabase } from './chaos-database.ts';
import type { DraftEvent } from './chaos-events.ts';
import { chaosLine } from './chaos-line.ts';
import { type ChaosVerdict, chaosVerdict } from './chaos-verdict.ts';
import { drainTheRest } from './drain-the-rest.ts';
import { emptyOracle } from './oracle.ts';
import { wasCommitted } from './was-committed.ts';

let cluster: ChaosCluster;
let url: () => string;
const oracle = emptyOracle();
beforeAll(async () => {
  cluster = await startChaosCluster();
  url = await createChaosDatabase(cluster, 'oracle_says_no');
  const payload = { taken: true, amount: 900 };
  const drafts = (['step', 'step', 'plain', 'unrouted'] as const).map(
    (kind): DraftEvent => ({ kind, subject: 'one', payload }),
  );
  await connected(url(), async (client) => {
    for (const draft of drafts) oracle.note([{ id: await emit(client, draft), draft }]);
  });
  await drainTheRest(url);
});
afterAll(async () => {
  await cluster.stop();
});

const CLEAN: ChaosVerdict = {
  lost: 0,
  lostStories: [],
  duplicates: 0,
  invented: 0,
  uncommitted: 0,
  deadLetters: 0,
  misnumbered: 0,
  inversionsOrdered: 0,
  inversionsUnordered: 0,
  inversionStories: [],
  balanced: true,
};

test('events that are decided once each, in order, are all right', async () => {
  expect(await verdictAfter('select')).toEqual(CLEAN);
});

test('a decision that is missing is a loss, also of one route among several', async () => {
  const verdict = await verdictAfter(
    `delete from iu_route_attempt where route_code = 'chaos_large_in_order'`,
  );
  expect(verdict).toMatchObject({ lost: 2, duplicates: 0, invented: 0 });
  expect(verdict.lostStories).toHaveLength(2);
});

test('an event that left the outbox is a loss, and an attempt without it is out of balance', async () => {
  const verdict = await verdictAfter(`delete from event_outbox where event_type = 'plain'`);
  expect(verdict).toMatchObject({ lost: 1, balanced: false });
  expect(verdict.lostStories[0]).toContain('has left the outbox');
});

test('a first decision made twice is a duplicate', async () => {
  const verdict = await verdictAfter(`
    alter table iu_route_attempt drop constraint iu_route_attempt_is_made_once;
    insert into iu_route_attempt (
      idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status)
    select idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status
      from iu_route_attempt where route_code is null`);
  expect(verdict).toMatchObject({ lost: 0, duplicates: 1 });
});

test('a decision for a route that does not take the event is invented', async () => {
  const verdict = await verdictAfter(`
    insert into iu_route_attempt (
      idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status)
    select replace(idempotency_key, ':-:', ':chaos_first:'), 1, event_id, 'chaos_first', worker_code, 'dry_run', 'dry_run'
      from iu_route_attempt where route_code is null`);
  expect(verdict).toMatchObject({ lost: 0, duplicates: 0, invented: 1 });
});

test('an event that no writer has committed is noticed', async () => {
  const verdict = await verdictAfter(
    `select fn_iu_emit_event('chaos', 'plain', 'one', null, '{}', 'somebody')`,
  );
  expect(verdict).toMatchObject({ lost: 0, uncommitted: 1 });
});

test('decisions in the wrong order are inversions', async () => {
  const verdict = await verdictAfter(`update iu_route_attempt set position = -position`);
  expect(verdict).toMatchObject({ inversionsOrdered: 2, inversionsUnordered: 1, lost: 0 });
});

test('a gap in the numbers of a subject is noticed', async () => {
  const verdict = await verdictAfter(
    `update event_outbox set subject_seq = subject_seq + 1 where subject_seq = 2`,
  );
  expect(verdict).toMatchObject({ misnumbered: 1 });
});

test('a transaction whose number was given out again after a crash counts as not committed', {
  timeout: 120_000,
}, async () => {
  let status: string | undefined;
  for (let tried = 1; status !== 'committed' && tried <= 5; tried += 1) {
    const cutOff = await chaosLine(url, 'chaos number');
    await cutOff.query('begin');
    const [taken] = await cutOff.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    const xid = taken?.xid ?? '';
    await cluster.crash();
    const line = await chaosLine(url, 'chaos number');
    for (let burnt = '0'; BigInt(burnt) < BigInt(xid); ) {
      const [next] = await line.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
      burnt = next?.xid ?? '';
    }
    const [found] = await line.query<{ status: string }>('select pg_xact_status($1::xid8) as status', [xid]);
    status = found?.status;
    expect(await wasCommitted(line, { xid, token: `nobody ${tried}` })).toBe(false);
    await line.close();
  }
  // What the server says of the number is true, and of another transaction.
  expect(status).toBe('committed');
});

/** The verdict on a database that was tampered with; afterwards it is as before. */
async function verdictAfter(tampering: string): Promise<ChaosVerdict> {
  return connected(url(), async (client) => {
    await client.query(`
      begin;
      alter table event_outbox disable trigger user;
      alter table event_outbox_default disable trigger user;
      alter table iu_route_attempt disable trigger user;
      alter table iu_route_attempt_default disable trigger user;
      alter table event_outbox alter column epoch set default 1`);
    await client.query(tampering);
    const verdict = await chaosVerdict(client, oracle);
    await client.query('rollback');
    return verdict;
  });
}

async function emit(client: pg.Client, { kind, subject, payload }: DraftEvent): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    `select fn_iu_emit_event('chaos', $1, $2, null, $3, 'chaos') as id`,
    [kind, subject, JSON.stringify(payload)],
  );
  return rows[0]?.id ?? '';
}
