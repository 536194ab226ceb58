-- does:      installs the rule of ordered routes: what became of the event before this one of the same subject.
-- called by: macro event-worker.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_function where foreign objects hold these names.

create function fn_iu_route_may_take(p_event_filter jsonpath, p_payload jsonb)
  returns boolean
  language plpgsql
  immutable
  set search_path from current
as $$
-- does: whether a route takes, or would fail over, a payload; a filter that raises counts as one that takes.
-- called by: fn_iu_route_prior, where a route has a filter; locks: none; raises: nothing.
begin
  return fn_iu_route_takes(p_event_filter, p_payload);
exception
  when others then
    return true;
end
$$;
comment on function fn_iu_route_may_take(jsonpath, jsonb) is
  'Layer worker. Whether a filter takes a payload, or raises over it.';

create function fn_iu_route_prior(
  p_worker_code text,
  p_route_code text,
  p_event_type text,
  p_event_filter jsonpath,
  p_after_dead_letter text,
  p_event_domain text,
  p_event_subject text,
  p_subject_seq bigint
)
  returns table (event_id uuid, state text)
  language sql
  stable
  rows 1
  set search_path from current
  set enable_seqscan = off
  set enable_bitmapscan = off
  set jit = off
as $$
-- does: the event that a route takes right before a place in its subject, and what became of it for a route and worker: done
--       (or decided before the route was there), passed_over (a dead letter that the route skips, or that was discarded),
--       failed (for this worker, or for the one that it left the event to), blocked, held, queued for delivery (by whichever
--       worker), or ahead (the cursor has not come to it). No row where there is none before.
-- called by: fn_iu_route_worker_pass, fn_iu_route_held_release, fn_iu_route_blocked_release.
-- locks: none.
-- raises: nothing.
with
  prior as (
    select
      event_outbox.id,
      event_outbox.epoch,
      event_outbox.xact_id,
      event_outbox.created_at,
      event_outbox.id::text || ':' || p_route_code || ':' || p_worker_code as idempotency_key
    from event_outbox
    where event_outbox.event_domain = p_event_domain
      and event_outbox.event_subject = p_event_subject
      and event_outbox.subject_seq < p_subject_seq
      and event_outbox.event_type = p_event_type
      and (p_event_filter is null or fn_iu_route_may_take(p_event_filter, event_outbox.payload))
    order by event_outbox.subject_seq desc
    limit 1
  ),
  newest as (
    select iu_route_attempt.decision
    from prior
    join iu_route_attempt on iu_route_attempt.idempotency_key = prior.idempotency_key
    order by iu_route_attempt.attempt_no desc
    limit 1
  )
select
  prior.id,
  case
    when exists (
      select
      from iu_route_delivery
      where iu_route_delivery.event_id = prior.id
        and iu_route_delivery.route_code = p_route_code
    ) then 'queued'
    -- Left to another worker, and its letter now.
    when newest.decision = 'skipped' and p_after_dead_letter <> 'skip' and exists (
      select
      from iu_route_dead_letter
      where iu_route_dead_letter.idempotency_key > prior.id::text || ':' || p_route_code || ':'
        and iu_route_dead_letter.idempotency_key < prior.id::text || ':' || p_route_code || ';'
        and iu_route_dead_letter.worker_code <> p_worker_code
        and iu_route_dead_letter.state in ('open', 'parked')
    ) then 'failed'
    when newest.decision in ('dry_run', 'sent', 'skipped') then 'done'
    when newest.decision = 'blocked' then 'blocked'
    when newest.decision = 'failed' then case
      when p_after_dead_letter = 'skip' or exists (
        select
        from iu_route_dead_letter
        where iu_route_dead_letter.idempotency_key = prior.idempotency_key
          and iu_route_dead_letter.state = 'discarded'
      ) then 'passed_over'
      else 'failed'
    end
    when exists (
      select
      from iu_route_held
      where iu_route_held.event_id = prior.id
        and iu_route_held.route_code = p_route_code
        and iu_route_held.worker_code = p_worker_code
    ) then 'held'
    when exists (
      select
      from iu_route_worker_cursor
      where iu_route_worker_cursor.cursor_code = p_worker_code
        and (prior.epoch, prior.xact_id, prior.created_at, prior.id) <= (
          iu_route_worker_cursor.cursor_epoch,
          iu_route_worker_cursor.cursor_xact_id,
          iu_route_worker_cursor.cursor_created_at,
          iu_route_worker_cursor.cursor_event_id)
    ) then 'done'
    else 'ahead'
  end
from prior
left join newest on true
$$;
comment on function fn_iu_route_prior(text, text, text, jsonpath, text, text, text, bigint) is
  'Layer worker. What became of the event before a place in its subject: done, passed_over, failed, blocked, held, queued or ahead.';

alter function fn_iu_route_may_take(jsonpath, jsonb) owner to iu_core_owner;
alter function fn_iu_route_prior(text, text, text, jsonpath, text, text, text, bigint) owner to iu_core_owner;

revoke all on function fn_iu_route_may_take(jsonpath, jsonb) from public;
revoke all on function fn_iu_route_prior(text, text, text, jsonpath, text, text, text, bigint) from public;
