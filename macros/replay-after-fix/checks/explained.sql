-- does:      proves, read-only, that every letter of the replayed plan is resolved, or is still open and says why: Y4 to Y9.
-- called by: macro replay-after-fix, as its last step.
-- locks:     ACCESS SHARE on the tables it reads, also of schema sluice.
-- raises:    undefined_table where planned replays are missing.

with
  run as (
    select r.run_no, r.workflow_id
    from sluice.run as r
    where r.finished_at is null
  ),
  replayed as (
    select u.plan_hash, u.outcome, u.because
    from run
    join iu_replay_run as u on starts_with(u.workflow_id, format('%s/%s/', run.workflow_id, run.run_no))
    order by u.started_at desc
    limit 1
  ),
  letter as materialized (
    select
      l.place,
      l.route_code,
      l.fingerprint,
      l.state,
      l.because,
      l.tries,
      d.dead_letter_id,
      d.idempotency_key,
      d.state as letter_state,
      d.failure_code
    from replayed
    join iu_replay_letter as l using (plan_hash)
    join iu_route_dead_letter as d using (dead_letter_id)
  ),
  counted as (
    select
      count(*) as letters,
      count(*) filter (where letter.state not in ('resolved', 'failed', 'skipped')) as unsettled,
      count(*) filter (where letter.state = 'resolved' and letter.letter_state <> 'resolved') as only_said,
      count(*) filter (where letter.letter_state in ('open', 'parked')) as still_open,
      count(*) filter (where
        letter.letter_state in ('open', 'parked')
        and (letter.state in ('failed', 'skipped') and letter.because ~ '\S') is not true) as unexplained
    from letter
  ),
  explained as (
    select string_agg(
      format('%s of %s %s %s: %s', kind.letters, coalesce(kind.route_code, '(no route)'), kind.fingerprint, kind.state,
        kind.because),
      '; ' order by kind.letters desc, kind.route_code, kind.fingerprint) as kinds
    from (
      select letter.route_code, left(letter.fingerprint, 12) as fingerprint, letter.state, letter.because, count(*) as letters
      from letter
      where letter.letter_state in ('open', 'parked')
      group by letter.route_code, left(letter.fingerprint, 12), letter.state, letter.because
    ) as kind
  ),
  listed as (
    select string_agg(
      format('%s (%s after %s tries: %s)', one.dead_letter_id, one.state, one.tries, coalesce(one.because, 'no reason')),
      ', ' order by one.place) as letters
    from (
      select letter.*
      from letter
      where letter.letter_state in ('open', 'parked')
      order by letter.place
      limit 20
    ) as one
  ),
  twice as (
    select count(*) as letters
    from (
      select a.idempotency_key
      from letter
      join iu_route_attempt as a using (idempotency_key)
      where a.status = 'sent'
      group by a.idempotency_key
      having count(*) > 1
    ) as sent
  ),
  conserved as materialized (
    select fn_iu_conservation() ->> 'balanced' as balanced
  )
select
  'Y4 plan executed' as check_id,
  case when g.state = 'executed' then 'pass' else 'fail' end as verdict,
  format('plan %s is %s%s: resolved %s, failed %s, skipped %s of %s letters, in %s tries', coalesce(left(g.plan_hash, 12), 'none'),
    coalesce(g.state, 'missing'), coalesce(' (' || replayed.because || ')', ''), g.resolved, g.failed, g.skipped,
    counted.letters, g.tries) as detail
from counted
left join replayed on true
left join iu_replay_progress as g using (plan_hash)
union all
select
  'Y5 every letter settled',
  case when counted.letters > 0 and counted.unsettled = 0 then 'pass' else 'fail' end,
  format('%s letters, %s of them neither resolved nor failed nor skipped', counted.letters, counted.unsettled)
from counted
union all
select
  'Y6 what is open is explained',
  case when counted.letters > 0 and counted.unexplained = 0 then 'pass' else 'fail' end,
  format('%s letters are still open, %s of them without a reason%s%s%s', counted.still_open, counted.unexplained,
    coalesce(': ' || explained.kinds, ''), coalesce('. ' || listed.letters, ''),
    case when counted.still_open > 20 then format(', and %s more: sluice dead-letter replay show', counted.still_open - 20) else '' end)
from counted
cross join explained
cross join listed
union all
select
  'Y7 what is resolved is closed',
  case when counted.only_said = 0 then 'pass' else 'fail' end,
  format('%s letters count as resolved and are not', counted.only_said)
from counted
union all
select
  'Y8 no effect twice',
  case when twice.letters = 0 then 'pass' else 'fail' end,
  format('%s letters have more than one attempt that was sent', twice.letters)
from twice
union all
select
  'Y9 conservation',
  case when conserved.balanced = 'true' then 'pass' else 'fail' end,
  format('balanced: %s', conserved.balanced)
from conserved;
