import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ReplayProgress } from '../../contracts/replay.ts';
import { alterFunction, type WrongDelivery } from '../delivery-faults/support/wrong-delivery.ts';
import { verdictFailures } from './replay/failures.ts';
import { type QuietReplay, quietReplay } from './replay/quiet-replay.ts';
import type { Arrival } from './replay/receiver.ts';
import { approvedPlan } from './replay/run-replay-chaos.ts';
import { emptySamples, progressFault, sampleProgress } from './replay/sample-progress.ts';
import { type ReplayVerdict, replayVerdict } from './replay/verdict.ts';

vi.setConfig({ testTimeout: 120_000 });

let quiet: QuietReplay;
let planHash: string;
let arrivals: readonly Arrival[];
beforeAll(async () => {
  quiet = await quietReplay(LETTERS);
  planHash = await replay(quiet);
  arrivals = quiet.receiver.arrivals.slice(quiet.arrivedBefore);
});
afterAll(() => quiet.close());

const LETTERS = 200;
const CLEAN: ReplayVerdict = {
  letters: LETTERS,
  resolved: 188,
  failed: 12,
  tries: 276,
  unplanned: 0,
  wrongAttempts: 0,
  gaps: 0,
  wrongEnds: 0,
  wrongRows: 0,
  effectsMissing: 0,
  effectsTwice: 0,
  effectsOfFailures: 0,
  inversions: 0,
  neverArrived: 0,
  actsMissing: 0,
  actsTwice: 0,
  actsOfFailures: 0,
  strays: 0,
  changedBytes: 0,
  repeated: 0,
  unexplained: 0,
  queued: 0,
  wrongCounts: [],
  isBalanced: true,
  stories: [],
};

test('letters that were replayed in peace are all right', async () => {
  const verdict = await verdictAfter('select');
  expect(verdict).toEqual(CLEAN);
  expect(verdictFailures(verdict)).toEqual([]);
});

test('letters made as a set are as the drain leaves them', async () => {
  const other = await quietReplay(LETTERS);
  try {
    for (const table of ['iu_route_dead_letter', 'iu_route_attempt']) {
      const { rows } = await other.engine.sql.query<{ route_code: string; letters: string; shapes: string }>(
        `select route_code, count(*) as letters, count(distinct regexp_replace(
           to_jsonb(made)::text, '[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{64}|[0-9]+([.][0-9]+)?', '#', 'g')) as shapes
         from ${table} as made group by route_code`,
      );
      expect(rows).toHaveLength(5);
      for (const row of rows) expect(row).toMatchObject({ letters: '40', shapes: '1' });
    }
  } finally {
    await other.close();
  }
});

const LETTER = `(select dead_letter_id from iu_route_dead_letter where route_code = $route order by event_id limit 1)`;
const EVENT = `(select event_id from iu_route_dead_letter where route_code = $route order by event_id limit 1)`;
const HALF = { route: 'e_half_function', failed: '10' };

test.each<[what: string, tampering: string, wrong: Partial<Record<keyof ReplayVerdict, unknown>>]>([
  [
    'a letter that the plan lacks',
    `delete from iu_replay_letter where dead_letter_id = ${LETTER}`,
    { unplanned: 1, wrongRows: 1 },
  ],
  [
    'an attempt that is missing',
    `delete from iu_route_attempt where event_id = ${EVENT} and attempt_no = 2`,
    { wrongAttempts: 1, wrongEnds: 0, isBalanced: true },
  ],
  [
    'an attempt too many',
    `insert into iu_route_attempt (idempotency_key, attempt_no, event_id, route_code, worker_code, decision, status)
     select idempotency_key, 3, event_id, route_code, worker_code, 'sent', 'sent'
       from iu_route_attempt where event_id = ${EVENT} and attempt_no = 2`,
    { wrongAttempts: 1, gaps: 0, wrongEnds: 1 },
  ],
  [
    'a gap in the numbers',
    `update iu_route_attempt set attempt_no = 3 where event_id = ${EVENT} and attempt_no = 2`,
    { gaps: 1, wrongAttempts: 0, isBalanced: false },
  ],
  [
    'a letter that is still open',
    `update iu_route_dead_letter set state = 'open' where dead_letter_id = ${LETTER}`,
    { wrongEnds: 1 },
  ],
  [
    'a letter that was counted as replayed twice',
    `update iu_route_dead_letter set replay_count = 2 where dead_letter_id = ${LETTER}`,
    { wrongEnds: 1 },
  ],
  [
    'a row of the plan that counts another try',
    `update iu_replay_letter set tries = tries + 1 where dead_letter_id = ${LETTER}`,
    { wrongRows: 1, wrongCounts: ['tries: 276 in the progress, 277 in the rows'] },
  ],
  [
    'a progress that has lost a letter',
    'update iu_replay_progress set resolved = resolved - 1',
    { wrongCounts: ['resolved: 187 in the progress, 188 in the rows'] },
  ],
  [
    'an effect that is missing',
    `delete from app.effect where event_id = ${EVENT}`,
    { effectsMissing: 1, effectsTwice: 0 },
  ],
  [
    'an effect that is there twice',
    `insert into app.effect (event_id, route, subject) select event_id, route, subject from app.effect where event_id = ${EVENT}`,
    { effectsTwice: 1, effectsMissing: 0 },
  ],
  [
    'an effect of a letter that has failed',
    `insert into app.effect (event_id, route, subject)
     select id, event_type, event_subject from event_outbox
      where event_type = '${HALF.route}' and payload ->> 'n' = '${HALF.failed}'`,
    { effectsOfFailures: 1, effectsTwice: 0 },
  ],
  ['effects in the wrong order', 'update app.effect set effect_no = -effect_no', { inversions: 32 }],
  [
    'a delivery that is left in the queue',
    `insert into iu_route_delivery (event_id, route_code, worker_code, attempt_no, target_kind, target_ref, request)
     values (gen_random_uuid(), 'a', 'b', 1, 'c', 'd', '{}')`,
    { queued: 1 },
  ],
  [
    'an event that has left the outbox',
    `delete from event_outbox where id = ${EVENT}`,
    { isBalanced: false },
  ],
])('%s is noticed', async (_what, tampering, wrong) => {
  const verdict = await verdictAfter(tampering.replaceAll('$route', `'a_mended_function'`));
  expect(verdict).toMatchObject(wrong);
  expect(verdictFailures(verdict)).not.toEqual([]);
});

test.each<
  [what: string, change: (list: Arrival[]) => unknown, wrong: Partial<Record<keyof ReplayVerdict, number>>]
>([
  ['a request that never arrived', (list) => list.shift(), { neverArrived: 1, actsMissing: 1 }],
  [
    'a request that came again for nothing',
    (list) => list.push(again(list)),
    { unexplained: 1, repeated: 1 },
  ],
  ['a second act', (list) => list.push({ ...again(list), isAct: true }), { actsTwice: 1, repeated: 1 }],
  [
    'an act on a letter that has failed',
    (list) =>
      list.push(...list.filter(({ status }) => status === 400).map((one) => ({ ...one, isAct: true }))),
    { actsOfFailures: 4 },
  ],
  [
    'a key of no letter',
    (list) => list.push({ ...again(list), key: 'another', eventId: 'x' }),
    { strays: 1 },
  ],
  ['a key of another letter', (list) => list.push({ ...again(list), key: 'another' }), { strays: 1 }],
  ['other bytes under a key', (list) => list.push({ ...again(list), bodySha256: 'x' }), { changedBytes: 1 }],
])('%s is noticed', async (_what, change, wrong) => {
  const changed = [...arrivals];
  change(changed);
  const verdict = await verdictAfter('select', changed);
  expect(verdict).toMatchObject(wrong);
  expect(verdictFailures(verdict)).not.toEqual([]);
});

test('a request that came again is explained by a worker that died between the two, and by no other', async () => {
  const list = [...arrivals];
  const [first] = list;
  const repeated = again(list);
  list.push(repeated);
  const between = (first?.at ?? 0) + 1;
  expect(await verdictAfter('select', list, [between])).toMatchObject({ repeated: 1, unexplained: 0 });
  expect(await verdictAfter('select', list, [repeated.at + 1])).toMatchObject({
    repeated: 1,
    unexplained: 1,
  });
});

test('a progress that goes back, or does not add up, is noticed', () => {
  const before = { letters: 10, resolved: 3, failed: 1, skipped: 0, inFlight: 2, waiting: 4, tries: 7 };
  const now = (change: Partial<typeof before>) => ({ ...before, ...change }) as ReplayProgress;
  expect(progressFault(now({}), now({ resolved: 4, waiting: 3, tries: 8 }))).toBeNull();
  expect(progressFault(now({}), now({ resolved: 2, waiting: 5 }))).toBe('resolved went from 3 back to 2');
  expect(progressFault(now({}), now({ tries: 6 }))).toBe('tries went from 7 back to 6');
  expect(progressFault(undefined, now({ waiting: 5 }))).toContain('does not add up');
});

const WRONG: readonly (WrongDelivery & { readonly wrong: Partial<Record<keyof ReplayVerdict, unknown>> })[] =
  [
    {
      name: 'a function that is called twice',
      function: 'fn_iu_delivery_call',
      replace: /execute format\('select %s\(\$1\)', v_target_ref\)\n/g,
      by: `execute format('select %s($1)', v_target_ref) using p_request;
         execute format('select %s($1)', v_target_ref)\n`,
      wrong: { effectsTwice: 116, effectsMissing: 0, wrongAttempts: 0 },
    },
    {
      name: 'a step that forgets its attempts',
      function: 'fn_iu_replay_record',
      replace: /attempt_no = iu_replay_letter\.attempt_no \+ told\.is_try/g,
      by: 'attempt_no = iu_replay_letter.attempt_no',
      wrong: { wrongAttempts: 48, wrongEnds: 48 },
    },
  ];

test.each(WRONG)('$name is noticed in what was replayed', async ({ wrong, ...alteration }) => {
  const other = await quietReplay(LETTERS);
  try {
    await alterFunction(other.engine.sql, alteration);
    const verdict = await replayVerdict({
      sql: other.engine.sql,
      planHash: await replay(other),
      arrivals: other.receiver.arrivals.slice(other.arrivedBefore),
      kills: [],
    });
    expect(verdict).toMatchObject(wrong);
  } finally {
    await other.close();
  }
});

test('a step that forgets its tries is noticed while it replays', async () => {
  const other = await quietReplay(LETTERS);
  try {
    const { sql, database, client, target } = other.engine;
    await alterFunction(sql, {
      name: 'tries are forgotten',
      function: 'fn_iu_replay_keep',
      replace: /tries = p_progress\.tries/g,
      by: 'tries = p_progress.tries % 20',
    });
    const hash = await approvedPlan(sql, 40);
    const samples = emptySamples();
    let isOver = false;
    const run = await other.start(hash);
    const { workflowId } = run;
    const watched = { url: database.url, client, workflowId, planHash: hash, everyMs: 100 };
    const sampling = sampleProgress(samples, { ...watched, isOver: () => isOver });
    await run.result();
    isOver = true;
    await sampling;
    expect(target).toBe(database.name);
    expect(samples.wrong.join('\n')).toMatch(/^rows: tries went from \d+ back to \d+/m);
  } finally {
    await other.close();
  }
});

/** The first act once more, a second after everything. */
function again(list: readonly Arrival[]): Arrival {
  const [first] = list;
  const last = list.at(-1);
  if (first === undefined || last === undefined) throw new Error('nothing has arrived');
  return { ...first, isAct: false, at: last.at + 1_000 };
}

async function replay({ engine, start }: QuietReplay): Promise<string> {
  const hash = await approvedPlan(engine.sql, null);
  expect(await (await start(hash)).result()).toMatchObject({ outcome: 'executed' });
  return hash;
}

/** The verdict on a database that was tampered with; afterwards it is as before. */
async function verdictAfter(
  tampering: string,
  list: readonly Arrival[] = arrivals,
  kills: readonly number[] = [],
): Promise<ReplayVerdict> {
  const { sql } = quiet.engine;
  await sql.query('begin; set local session_replication_role = replica');
  try {
    for (const table of GUARDED) await sql.query(`alter table ${table} disable trigger user`);
    await sql.query(tampering);
    return await replayVerdict({ sql, planHash, arrivals: list, kills });
  } finally {
    await sql.query('rollback');
  }
}

const GUARDED = [
  'event_outbox',
  'event_outbox_default',
  'iu_route_attempt',
  'iu_route_attempt_default',
  'iu_route_dead_letter',
  'iu_replay_letter',
];
