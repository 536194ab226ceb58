-- does:      tells whether a plan of dead letters may be replayed now: X1 to X9. The plan is the one that the steps canary and
--            rest name in `planHash`, or else the one plan that is open. X2 shows its hash, which is what is approved: where
--            this is read again after the wait, X3 wants the same one.
-- called by: macro replay-after-fix, step mandatory-gates.
-- locks:     ACCESS SHARE on the tables it reads, also of schema sluice.
-- raises:    nothing where planned replays are missing: X1 fails, the others are not_run.

do $$
-- Plans may be missing, so they are asked only where they are there; the answers wait in a setting of this transaction.
declare
  v_seen jsonb := '{}';
begin
  if to_regclass('iu_replay_plan') is not null
    and to_regprocedure('fn_iu_replay_open(text,jsonb,text,text)') is not null
    and to_regprocedure('fn_iu_replay_step(text,text,text,integer,integer)') is not null
    and to_regprocedure('fn_iu_replay_approve(text,text,text)') is not null
    and to_regprocedure('fn_iu_replay_mode(text)') is not null
    and to_regprocedure('fn_iu_replay_stale_because(text)') is not null
  then
    with
      run as (
        select r.run_id, p.canonical::jsonb as plan
        from sluice.run as r
        join sluice.plan as p using (plan_hash)
        where r.finished_at is null
      ),
      named as (
        select distinct step #>> '{input,planHash}' as plan_hash
        from run
        cross join lateral jsonb_path_query(run.plan, '$.steps[*] ? (@.workflow == "replayDeadLetters")') as step
      ),
      not_ended as materialized (
        select
          p.plan_hash,
          p.letters,
          p.actor,
          p.created_at,
          fn_iu_replay_stale_because(p.plan_hash) as stale_because
        from iu_replay_progress as g
        join iu_replay_plan as p using (plan_hash)
        where g.state in ('planned', 'cancelled')
      ),
      open_plan as (
        select n.*
        from not_ended as n
        where n.stale_because is null
      ),
      meant as (
        select p.plan_hash
        from iu_replay_plan as p
        join named on starts_with(p.plan_hash, named.plan_hash)
        where (select count(*) from named) = 1
          and length(named.plan_hash) >= 8
        union all
        select o.plan_hash
        from open_plan as o
        where not exists (select from named where named.plan_hash is not null)
        union all
        -- None is open: the newest one says why it is not.
        select newest.plan_hash
        from (
          select n.plan_hash
          from not_ended as n
          order by n.created_at desc
          limit 1
        ) as newest
        where not exists (select from named where named.plan_hash is not null)
          and not exists (select from open_plan)
      ),
      chosen as (
        select
          to_jsonb(p) - array['groups', 'routes', 'filter', 'policy', 'excluded'] || jsonb_build_object(
            'state', g.state,
            'stale_because', fn_iu_replay_stale_because(p.plan_hash),
            'to_try', (
              select count(*)
              from iu_replay_letter as l
              where l.plan_hash = p.plan_hash
                and l.state in ('waiting', 'behind')
            ),
            'not_open', (
              select count(*)
              from iu_replay_letter as l
              join iu_route_dead_letter as d using (dead_letter_id)
              where l.plan_hash = p.plan_hash
                and l.state in ('waiting', 'behind')
                and d.state not in ('open', 'parked')
            ),
            'routes', (
              select coalesce(jsonb_agg(
                jsonb_build_object(
                  'route', planned.value ->> 'route',
                  'target', (planned.value ->> 'targetKind') || ' ' || (planned.value ->> 'targetRef'),
                  'mode', fn_iu_replay_mode(planned.value ->> 'route'),
                  'breaker', coalesce(b.state, 'closed'))
                order by planned.ordinality), '[]')
              from jsonb_array_elements(p.routes) with ordinality as planned
              left join iu_route_breaker as b on b.route_code = planned.value ->> 'route'
            ),
            'own_mode', fn_iu_replay_mode(null),
            'tried', (
              select coalesce(jsonb_agg(
                jsonb_build_object(
                  'what', format('%s %s', coalesce(tried.value ->> 'route', '(no route)'), left(tried.value ->> 'fingerprint', 12)),
                  'tried', (tried.value ->> 'tried')::integer,
                  'fixed', (tried.value ->> 'fixed')::integer,
                  'still', (tried.value ->> 'stillFailing')::integer,
                  'because', tried.value ->> 'because')
                order by tried.ordinality), '[]')
              from jsonb_array_elements(g.tried_out) with ordinality as tried
            )) as facts
        from iu_replay_plan as p
        join iu_replay_progress as g using (plan_hash)
        join meant using (plan_hash)
      )
    select jsonb_build_object(
      'named', (select coalesce(jsonb_agg(coalesce(named.plan_hash, 'the one open')), '[]') from named),
      'open', (
        select string_agg(format('%s (%s letters, by %s)', left(o.plan_hash, 12), o.letters, o.actor), ', '
          order by o.created_at)
        from open_plan as o
      ),
      'newest', (
        select format('%s is %s', left(p.plan_hash, 12), g.state)
        from iu_replay_plan as p
        join iu_replay_progress as g using (plan_hash)
        order by p.created_at desc
        limit 1
      ),
      'plan', (select chosen.facts from chosen where (select count(*) from chosen) = 1),
      'shown', (
        select substring(shown.value ->> 'detail' from '[0-9a-f]{64}')
        from run
        join sluice.step_receipt as s using (run_id)
        cross join lateral jsonb_array_elements(s.checks) as shown
        where s.kind = 'check'
          and s.direction = 'do'
          and shown.value ->> 'checkId' = 'X2 one plan'
        limit 1
      ),
      'balanced', fn_iu_conservation() -> 'balanced')
    into v_seen;
  end if;
  perform set_config('iu_core.gates_seen', v_seen::text, true);
end
$$;

with
  seen as (
    select
      gathered.facts,
      nullif(gathered.facts -> 'plan', 'null') as plan
    from (select current_setting('iu_core.gates_seen')::jsonb as facts) as gathered
  ),
  route as (
    select
      count(*) as routes,
      count(*) filter (where planned ->> 'mode' not in ('live', 'dry_run')) as closed,
      count(*) filter (where planned ->> 'breaker' <> 'closed') as broken,
      string_agg(format('%s → %s: %s', planned ->> 'route', planned ->> 'target', planned ->> 'mode'), '; ') as modes,
      string_agg(format('%s %s', planned ->> 'route', planned ->> 'breaker'), ', ')
        filter (where planned ->> 'breaker' <> 'closed') as breakers
    from seen
    cross join lateral jsonb_array_elements(seen.plan -> 'routes') as planned
  ),
  tried as (
    select
      count(*) as groups,
      count(*) filter (where one ->> 'still' = one ->> 'tried' and one ->> 'tried' <> '0') as still_failing,
      string_agg(
        format('%s: %s of %s fixed%s', one ->> 'what', one ->> 'fixed', one ->> 'tried',
          case when one ->> 'fixed' = one ->> 'tried' then '' else coalesce(', ' || left(one ->> 'because', 200), '') end),
        '; ') as shown
    from seen
    cross join lateral jsonb_array_elements(seen.plan -> 'tried') as one
  ),
  judged (check_id, needs_plan, passes, detail) as (
    select
      'X1 planned replays installed',
      false,
      seen.facts <> '{}',
      case
        when seen.facts = '{}' then 'plans are missing: run macro dead-letter-replay first'
        else 'plans, and the functions that execute them, stand'
      end
    from seen
    union all
    select
      'X2 one plan',
      false,
      seen.plan is not null,
      case
        when seen.facts = '{}' then null
        when seen.plan is not null then format(
          'plan %s: %s letters, %s of them first as canary, %s still to try; state %s; planned by %s (%s), who cannot approve it',
          seen.plan ->> 'plan_hash', seen.plan ->> 'letters', seen.plan ->> 'canary_letters', seen.plan ->> 'to_try',
          seen.plan ->> 'state', seen.plan ->> 'actor', seen.plan ->> 'reason')
        when seen.facts -> 'named' not in ('[]', '["the one open"]') then format(
          'the steps name %s, which is no plan of this target or not one: plan with sluice dead-letter plan', seen.facts ->> 'named')
        when seen.facts ->> 'open' is null then format(
          'no plan is open; newest: %s. Make one with sluice dead-letter plan', coalesce(seen.facts ->> 'newest', 'none'))
        else format('open: %s. Name the one that is meant, with --set canary.input.planHash=… --set rest.input.planHash=…',
          seen.facts ->> 'open')
      end
    from seen
    union all
    select
      'X3 the plan that was shown',
      true,
      coalesce(seen.facts ->> 'shown' = seen.plan ->> 'plan_hash', true),
      case
        when seen.facts ->> 'shown' is null then 'shown for the first time'
        else format('shown before the approval: %s', left(seen.facts ->> 'shown', 12))
      end
    from seen
    union all
    select
      'X4 fresh',
      true,
      seen.plan ->> 'stale_because' is null and seen.plan ->> 'state' in ('planned', 'cancelled'),
      format('%s, valid until %s, %s', seen.plan ->> 'state', seen.plan ->> 'expires_at',
        coalesce(seen.plan ->> 'stale_because', 'its routes as planned'))
    from seen
    union all
    select
      'X5 gates open',
      true,
      route.closed = 0 and seen.plan ->> 'own_mode' = 'live',
      coalesce(route.modes, format('letters of no route: %s', seen.plan ->> 'own_mode'))
    from seen
    cross join route
    union all
    select
      'X6 breakers',
      true,
      route.broken = 0,
      coalesce(route.breakers, format('closed for %s routes', route.routes))
    from route
    union all
    select
      'X7 tried out',
      true,
      tried.still_failing = 0,
      coalesce(tried.shown, 'nothing was tried out: the canary is the first try')
    from tried
    union all
    select
      'X8 letters to try',
      true,
      (seen.plan ->> 'to_try')::bigint > (seen.plan ->> 'not_open')::bigint,
      format('%s to try, %s of them meanwhile resolved or discarded', seen.plan ->> 'to_try', seen.plan ->> 'not_open')
    from seen
    union all
    select
      'X9 conservation',
      true,
      seen.facts ->> 'balanced' = 'true',
      format('balanced: %s', seen.facts ->> 'balanced')
    from seen
  )
select
  judged.check_id,
  case
    when seen.facts = '{}' and judged.check_id <> 'X1 planned replays installed' then 'not_run'
    when seen.plan is null and judged.needs_plan then 'not_run'
    when judged.passes then 'pass'
    else 'fail'
  end as verdict,
  case
    when judged.detail is null or seen.plan is null and judged.needs_plan then 'there is no plan to ask about'
    else judged.detail
  end as detail
from judged
cross join seen
order by judged.check_id;
