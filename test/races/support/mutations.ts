import type pg from 'pg';

/** A guard taken away, and the specs that show it gone. */
export interface Mutation {
  readonly without: string;
  readonly specs: readonly string[];
  /** In the function of this name, or in each whose name begins with `fn_iu_`. */
  readonly in?: string;
  readonly replace: RegExp;
  readonly by: string;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    without: 'the lock on the cursor',
    specs: [
      'a-second-runner-leaves-with-busy',
      'a-run-leaves-with-busy-while-a-reset-is-open',
      'a-run-in-single-steps-holds-what-a-run-holds',
      'blocked-events-are-released-once',
    ],
    replace: /(from iu_route_worker_cursor\s[^;]*?)for (no key )?update skip locked/g,
    by: '$1',
  },
  {
    without: 'the try in the lock on the cursor: it waits',
    specs: ['a-second-runner-leaves-with-busy'],
    replace: /(from iu_route_worker_cursor\s[^;]*?for (no key )?update) skip locked/g,
    by: '$1',
  },
  {
    without: 'a gate that can say no',
    specs: ['closing-a-gate-waits-for-the-run-under-way'],
    in: 'fn_iu_gate_open',
    replace: /begin\s+return[^;]*;/,
    by: 'begin return true;',
  },
  {
    without: 'the shared lock of a run',
    specs: [
      'a-rebase-waits-for-the-run-under-way',
      'a-replay-passes-the-gate-as-a-run-does',
      'the-wait-names-who-still-runs',
      'closing-a-gate-waits-for-the-run-under-way',
      'closing-a-gate-waits-for-the-step-under-way',
    ],
    replace: /pg_try_advisory_xact_lock_shared\(fn_iu_worker_lock_key\(\)\)/g,
    by: 'true',
  },
  {
    without: 'the exclusive lock of a closing gate',
    specs: ['closing-a-gate-waits-for-the-run-under-way'],
    in: 'fn_iu_gate_wait',
    replace: /perform pg_advisory_xact_lock\([^;]*;/g,
    by: '',
  },
  {
    without: 'the horizon',
    specs: ['an-event-written-during-a-run-is-seen-by-the-next', 'a-late-commit-is-held-back-not-lost'],
    replace: /pg_snapshot_xmin\(pg_current_snapshot\(\)\)/g,
    by: 'pg_snapshot_xmax(pg_current_snapshot())',
  },
  {
    without: 'the order of a subject',
    specs: [
      'an-earlier-transaction-that-wrote-later-is-held-back',
      'what-waits-behind-a-dead-letter-goes-after-its-replay',
    ],
    in: 'fn_iu_route_worker_pass',
    replace: /\w+\.is_ordered and bool_or\(/,
    by: 'false and bool_or(',
  },
  {
    without: 'the lock on the dead letter',
    specs: ['a-dead-letter-replayed-twice-at-once-is-busy'],
    replace: /(from iu_route_dead_letter\s[^;]*?)for (no key )?update skip locked/g,
    by: '$1',
  },
  {
    without: 'the exclusive lock of a rebase',
    specs: ['a-rebase-waits-for-the-run-under-way'],
    in: 'fn_iu_outbox_rebase',
    replace: /perform pg_advisory_xact_lock\([^;]*;/g,
    by: '',
  },
  {
    without: 'the one place of a delivery in the queue',
    specs: ['two-workers-queue-a-delivery-once'],
    replace: /(from in_place\s+where in_place\.decision = 'live'\s+and in_place\.is_queued)/,
    by: '$1 and false',
  },
  {
    without: 'the look for what another worker has delivered',
    specs: ['two-workers-queue-a-delivery-once'],
    in: 'fn_iu_delivery_yield',
    replace: /begin\s+with/,
    by: 'begin return 0; with',
  },
  {
    without: 'the moment in the queue of a function that is called',
    specs: ['two-workers-call-a-function-once'],
    in: 'fn_iu_delivery_rival',
    replace: /begin\s+insert/,
    by: 'begin return null; insert',
  },
  {
    without: 'the passing over of what another claim has: it waits',
    specs: ['a-claim-passes-over-what-another-takes'],
    in: 'fn_iu_route_delivery_claim',
    replace: /for update skip locked(?=\s+\),\s+leased as)/,
    by: 'for update',
  },
  {
    without: 'the leases that are held',
    specs: ['a-claim-passes-over-what-another-takes'],
    in: 'fn_iu_route_delivery_claim',
    replace: /iu_route_delivery\.lease_token <> all \(v_held\)\s+and not fn_iu_route_lease_is_held\([^)]*\)/,
    by: 'true',
  },
  {
    without: 'the second look of a claim at a lease',
    specs: ['a-claim-sees-a-lease-that-is-taken-while-it-looks'],
    in: 'fn_iu_route_delivery_claim',
    replace: /and not fn_iu_route_lease_is_held\([^)]*\)/,
    by: '',
  },
  {
    without: 'the second look of a recall at a lease',
    specs: ['a-recall-leaves-what-was-claimed-while-it-looked'],
    in: 'fn_iu_route_delivery_recall',
    replace: /and not fn_iu_route_lease_is_held\([^)]*\)/,
    by: '',
  },
  {
    without: 'the fence of a settling',
    specs: ['a-stolen-lease-cannot-settle'],
    in: 'fn_iu_route_delivery_settle',
    replace: /and iu_route_delivery\.lease_token = p_lease_token/,
    by: '',
  },
  {
    without: 'the one probe',
    specs: ['one-probe-goes-through-a-half-open-breaker'],
    in: 'fn_iu_route_breaker_admit',
    replace: /and iu_route_breaker\.probe_at <= clock_timestamp\(\)/,
    by: '',
  },
  {
    without: 'the lock of a session that delivers',
    specs: ['closing-a-gate-waits-for-deliveries-under-way'],
    in: 'fn_iu_delivery_session_enter',
    replace: /select pg_try_advisory_lock_shared\([^;]*$/,
    by: 'select true $$function$$;',
  },
  {
    without: 'the lock on the progress of a plan',
    specs: ['two-workers-step-one-plan-one-after-another', 'a-cancel-waits-for-the-batch-at-work'],
    in: 'fn_iu_replay_enter',
    replace: /for update/,
    by: '',
  },
  {
    without: 'the lock on the runs while one is opened',
    specs: ['two-plans-that-share-letters-run-one-after-another'],
    in: 'fn_iu_replay_open',
    replace: /lock table iu_replay_run in share row exclusive mode;/,
    by: '',
  },
  {
    without: 'the lock on the runs before that on the progress, where one ends',
    specs: ['a-run-that-ends-and-one-that-begins-do-not-wait-for-each-other'],
    in: 'fn_iu_replay_end',
    replace: /lock table iu_replay_run in row exclusive mode;/,
    by: '',
  },
  {
    without: 'the passing over of letters that another has: a step waits',
    specs: ['a-step-passes-over-what-another-has'],
    in: 'fn_iu_replay_judge',
    replace: /for update skip locked/,
    by: 'for update',
  },
  {
    without: 'the passing over of deliveries that a claim has: a step waits',
    specs: ['a-step-takes-back-what-no-claim-has'],
    in: 'fn_iu_replay_collect',
    replace: /for update skip locked/,
    by: 'for update',
  },
  {
    without: 'the leases in what a step takes back',
    specs: ['a-step-takes-back-what-no-claim-has'],
    in: 'fn_iu_replay_collect',
    replace: /and \(iu_route_delivery\.lease_token is null or not fn_iu_route_lease_is_held\([^)]*\)\)/,
    by: '',
  },
];

/** Changes the installed functions; @throws {Error} where none reads as the mutation expects. */
export async function mutate(client: pg.Client, { without, in: name, replace, by }: Mutation): Promise<void> {
  const { rows } = await client.query<{ source: string }>(
    `select pg_get_functiondef(oid) as source
       from pg_proc
      where pronamespace = 'public'::regnamespace
        and proname like coalesce($1, 'fn\\_iu\\_%')
        and prokind = 'f'`,
    [name ?? null],
  );
  const changed = rows
    .map(({ source }) => source.replace(replace, by))
    .filter((source, at) => source !== rows[at]?.source);
  if (changed.length === 0) throw new Error(`no function holds what is taken away: ${without}`);
  for (const source of changed) await client.query(source);
}
