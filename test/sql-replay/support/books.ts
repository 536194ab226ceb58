import type pg from 'pg';

/** Every query finds what must never be, in one line each. */
const FAULTS: Readonly<Record<string, string>> = {
  'the progress does not count its letters': `
    select format('%s: %s', left(plan_hash, 8), to_jsonb(progress) - 'plan_hash')
    from iu_replay_progress as progress
    join iu_replay_plan as plan using (plan_hash)
    cross join lateral (
      select
        count(*) as letters,
        count(*) filter (where state = 'resolved') as resolved,
        count(*) filter (where state = 'failed') as failed,
        count(*) filter (where state = 'failed' and place <= plan.canary_letters) as canary_failed,
        count(*) filter (where state = 'skipped') as skipped,
        count(*) filter (where state = 'queued') as queued,
        sum(tries) as tries
      from iu_replay_letter
      where iu_replay_letter.plan_hash = progress.plan_hash
    ) as counted
    where (plan.letters, progress.resolved, progress.failed, progress.canary_failed, progress.skipped, progress.queued, progress.tries)
      is distinct from (counted.letters, counted.resolved, counted.failed, counted.canary_failed, counted.skipped, counted.queued, counted.tries)`,
  'a letter that nobody will come to again': `
    select format('%s %s', left(plan_hash, 8), place)
    from iu_replay_letter
    join iu_replay_progress as progress using (plan_hash)
    where iu_replay_letter.state = 'waiting'
      and due_at is null
      and place < next_place`,
  'a letter behind nobody': `
    select format('%s %s', left(plan_hash, 8), place)
    from iu_replay_letter as behind
    where state = 'behind'
      and not exists (
        select
        from iu_replay_letter as ahead
        where ahead.plan_hash = behind.plan_hash
          and ahead.route_code = behind.route_code
          and ahead.worker_code = behind.worker_code
          and ahead.subject = behind.subject
          and ahead.subject_seq < behind.subject_seq
          and ahead.state in ('waiting', 'queued')
      )`,
  'two of one subject at once': `
    select format('%s %s', left(plan_hash, 8), subject)
    from iu_replay_letter
    where state in ('waiting', 'queued')
      and subject is not null
    group by plan_hash, route_code, worker_code, subject
    having count(*) > 1`,
  'resolved by the plan, and not the letter': `
    select format('%s %s is %s', left(plan_hash, 8), place, letter.state)
    from iu_replay_letter
    join iu_route_dead_letter as letter using (dead_letter_id)
    where iu_replay_letter.state = 'resolved'
      and letter.state <> 'resolved'`,
  'resolved, and no attempt says so': `
    select letter.idempotency_key
    from iu_route_dead_letter as letter
    where letter.state = 'resolved'
      and not exists (
        select
        from iu_route_attempt as attempt
        where attempt.idempotency_key = letter.idempotency_key
          and attempt.status in ('sent', 'dry_run', 'skipped')
          and attempt.attempt_no = (letter.last_attempt ->> 'attempt_no')::integer
      )`,
  'more tries than the policy allows': `
    select format('%s %s: %s', left(plan_hash, 8), place, tries)
    from iu_replay_letter
    join iu_replay_plan using (plan_hash)
    where tries > (policy ->> 'attempts')::integer`,
  'attempts that the tries do not tell of': `
    select format('%s %s: %s', left(plan_hash, 8), place, tries)
    from iu_replay_letter
    join iu_route_dead_letter as letter using (dead_letter_id)
    cross join lateral (
      select count(*) as written
      from iu_route_attempt as attempt
      where attempt.idempotency_key = letter.idempotency_key
        and attempt.detail ->> 'plan' = left(plan_hash, 16)
        and not attempt.detail ? 'recalled_by'
        and attempt.status <> 'failed'
    ) as made
    where made.written > tries
      and not (iu_replay_letter.state in ('queued', 'skipped'))`,
  'an event delivered twice to a route': `
    select key
    from (
      select event_id || ' ' || route_code as key
      from iu_route_attempt
      where status = 'sent'
      group by event_id, route_code
      having count(*) > 1
    ) as twice`,
  'queued by the plan, and neither in the queue nor settled': `
    select format('%s %s', left(plan_hash, 8), place)
    from iu_replay_letter
    where state = 'queued'
      and not exists (
        select from iu_route_delivery as d where d.event_id = iu_replay_letter.event_id and d.route_code = iu_replay_letter.route_code)
      and not exists (
        select from iu_route_attempt as a
        where a.event_id = iu_replay_letter.event_id and a.route_code = iu_replay_letter.route_code
          and a.worker_code = iu_replay_letter.worker_code and a.attempt_no > iu_replay_letter.attempt_no)`,
  'a run that is open beside the state of its plan': `
    select left(plan_hash, 8)
    from iu_replay_progress as progress
    where (progress.state = 'running') is distinct from exists (
      select from iu_replay_run as run
      where run.plan_hash = progress.plan_hash and run.run_no = progress.run_no and run.ended_at is null)`,
  'what was lost': `
    select proof::text
    from fn_iu_conservation() as proof
    where proof ->> 'balanced' <> 'true'`,
};

/**
 * Asks whether what the plans say is what is: counters equal rows, no letter is forgotten, resolved twice or tried more
 * often than allowed, and nothing is lost.
 *
 * @throws Error that names what is not so
 */
export async function demandBooks(client: pg.Client): Promise<void> {
  const sql = Object.entries(FAULTS)
    .map(([what, query]) => `select '${what}: ' || found.found as fault from (${query}) as found (found)`)
    .join('\nunion all\n');
  const { rows } = await client.query<{ fault: string }>(sql);
  if (rows.length > 0) throw new Error(`the books are wrong:\n${rows.map((row) => row.fault).join('\n')}`);
}
