/** Every letter with its attempts, its rows of the plan `$1` and its effects. */
export const STORIES_SQL = `
  select
    letter.event_id,
    letter.route_code as route,
    (letter.event #>> '{payload,n}')::integer as n,
    letter.state as letter,
    letter.replay_count,
    attempts.numbers,
    attempts.statuses,
    coalesce((
      select jsonb_agg(jsonb_build_object('state', state, 'tries', tries, 'attempt_no', attempt_no))
      from iu_replay_letter
      where iu_replay_letter.plan_hash = $1 and iu_replay_letter.dead_letter_id = letter.dead_letter_id
    ), '[]') as planned,
    (select count(*)::integer from app.effect where effect.event_id = letter.event_id) as effects
  from iu_route_dead_letter as letter
  cross join lateral (
    select
      coalesce(array_agg(attempt_no order by attempt_no), '{}') as numbers,
      coalesce(array_agg(status order by attempt_no), '{}') as statuses
    from iu_route_attempt
    where iu_route_attempt.idempotency_key = letter.idempotency_key
  ) as attempts
  order by letter.event_id`;

/** Effects that came after a later one of their subject. */
export const INVERSIONS_SQL = `
  select count(*)::integer as answer
  from (
    select subject_seq, lag(subject_seq) over (partition by route, subject order by effect_no) as seq_before
    from app.effect
    where subject_seq is not null
  ) as in_turn
  where subject_seq <= seq_before`;

/** Counts of the plan `$1` that its rows do not bear out. */
export const WRONG_COUNTS_SQL = `
  select coalesce(array_agg(format('%s: %s in the progress, %s in the rows', name, told, counted)), '{}') as answer
  from (
    select
      count(*) filter (where state = 'resolved') as resolved,
      count(*) filter (where state = 'failed') as failed,
      count(*) filter (where state = 'skipped') as skipped,
      count(*) filter (where state = 'queued') as queued,
      coalesce(sum(tries), 0) as tries
    from iu_replay_letter
    where plan_hash = $1
  ) as letters
  cross join iu_replay_progress as progress
  cross join lateral (
    values
      ('resolved', progress.resolved::bigint, letters.resolved),
      ('failed', progress.failed, letters.failed),
      ('skipped', progress.skipped, letters.skipped),
      ('queued', progress.queued, letters.queued),
      ('tries', progress.tries, letters.tries)
  ) as compared (name, told, counted)
  where progress.plan_hash = $1
    and told <> counted`;
