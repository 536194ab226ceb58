-- does:      tells whether the candidate has shown, in macro delivery-live, that it delivers: Q1 to Q3.
-- called by: macro durable-live-route, step mandatory-gates, after B1 to B14.
-- locks:     ACCESS SHARE on the tables it reads.
-- raises:    nothing; without the seam or a candidate Q1 to Q3 fail.

do $$
declare
  v_seen jsonb := '{}';
begin
  if to_regclass('iu_outbound_route') is not null
    and to_regprocedure('fn_iu_dot_list_names(text,text)') is not null
  then
    select jsonb_build_object(
      'routes', count(distinct r.route_code),
      'sent', count(*) filter (where a.status = 'sent' and a.delivered),
      'sent_to_it', count(*) filter (
        where a.status = 'sent' and a.delivered and a.target_kind = r.target_kind and a.target_ref = r.target_ref),
      'last', max(a.created_at) filter (where a.status = 'sent' and a.delivered),
      'recalled', count(*) filter (where a.detail ? 'recalled_by'),
      'newest_failed', (
        select newest.status = 'failed'
        from iu_route_attempt as newest
        where newest.route_code = max(r.route_code)
          and newest.status in ('sent', 'failed')
        order by newest.created_at desc
        limit 1
      ))
    into v_seen
    from iu_outbound_route as r
    left join iu_route_attempt as a on a.route_code = r.route_code
    where fn_iu_dot_list_names('iu_core.delivery_live_routes', r.route_code);
  end if;
  perform set_config('iu_core.evidence_seen', v_seen::text, true);
end
$$;

with
  seen as (
    select current_setting('iu_core.evidence_seen')::jsonb as facts
  )
select
  'Q1 one delivery made' as check_id,
  case when seen.facts ->> 'routes' = '1' and (seen.facts ->> 'sent')::bigint > 0 then 'pass' else 'fail' end as verdict,
  format('%s sent and delivered, the last at %s: run macro delivery-live first where there is none',
    coalesce(seen.facts ->> 'sent', '0'), coalesce(seen.facts ->> 'last', 'no time')) as detail
from seen
union all
select
  'Q2 to this very target',
  case when (seen.facts ->> 'sent_to_it')::bigint > 0 then 'pass' else 'fail' end,
  format('%s of them to the target that the route has now', coalesce(seen.facts ->> 'sent_to_it', '0'))
from seen
union all
select
  'Q3 the newest try was sent',
  case when seen.facts ->> 'newest_failed' = 'false' then 'pass' else 'fail' end,
  format('the newest try failed: %s', coalesce(seen.facts ->> 'newest_failed', 'there is none'))
from seen;
