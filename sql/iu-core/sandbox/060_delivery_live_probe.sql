-- does:      proves, while one route is live and has made its delivery, that the delivery is made once and can be stopped, K0
--            to K8: the delivered event is claimed again by its worker and by another one; then each gate, the list and the
--            dry run keep an event back that the route would take. All of it inside one transaction that can only be rolled
--            back. A probe's cursor shows it its own events alone, so the delivered one is claimed with the pass of the worker.
-- called by: macro delivery-live, as a probe: REPEATABLE READ, rolled back by the engine whatever happens.
-- locks:     the cursor's row first, then rows of gates, list and route, to the end.
-- raises:    SL005 at COMMIT, or where a statement is run on its own; 55P03 where the worker is busy, 40001 where a row
--            changed since the snapshot: the whole probe is tried again.

do $$
begin
  if current_setting('lock_timeout') in ('0', '0ms') then
    perform set_config('lock_timeout', '5s', true);
  end if;
  perform 1
  from iu_route_worker_cursor
  where iu_route_worker_cursor.cursor_code = 'iu_outbound_default'
  for update;
  if not found then
    raise exception using
      errcode = 'SL008',
      message = 'there is no cursor iu_outbound_default',
      hint = 'Run macro event-worker first. Nothing was changed.';
  end if;
  perform fn_iu_probe_begin();
end
$$;

do $$
-- K0: what was delivered, by the newest attempt of the live route.
begin
  perform fn_iu_probe_demand();
  create temporary table iu_probe_check (
    check_no integer generated always as identity primary key,
    check_id text not null unique,
    verdict text not null,
    detail text not null
  ) on commit drop;
  create temporary table iu_probe_delivered on commit drop as
    select
      r.route_code,
      e.*
    from iu_outbound_route as r
    join iu_route_attempt as a on a.route_code = r.route_code
    join event_outbox as e on e.id = a.event_id
    where r.enabled
      and not r.dry_run
      and a.status = 'sent'
      and a.delivered
    order by a.created_at desc
    limit 1;

  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'K0 delivered',
    case when count(*) = 1 and fn_iu_gate_open('iu_core.delivery_enabled') then 'pass' else 'fail' end,
    format('route %s, event %s; delivery gate open: %s', coalesce(max(d.route_code), 'none live with a delivery'),
      coalesce(max(d.id::text), 'none'), fn_iu_gate_open('iu_core.delivery_enabled')::text)
  from pg_temp.iu_probe_delivered as d;
end
$$;

do $$
-- K1: its worker, its cursor set back before the event, claims it again and neither writes nor queues nor calls. K2: another
-- worker that claims it leaves it alone, and says so.
declare
  v_delivered record;
  v_before uuid;
  v_again record;
  v_other record;
  v_counted jsonb;
begin
  perform fn_iu_probe_demand();
  select * into v_delivered from pg_temp.iu_probe_delivered;
  if not found then
    return;
  end if;
  select e.id
  into v_before
  from event_outbox as e
  where (e.epoch, e.xact_id, e.created_at) = (v_delivered.epoch, v_delivered.xact_id, v_delivered.created_at)
    and e.id < v_delivered.id
  order by e.id desc
  limit 1;
  insert into iu_route_worker_cursor (cursor_code) values ('iu_outbound_probe');
  v_again := fn_iu_route_worker_pass(
    'iu_outbound_default', v_delivered.epoch, v_delivered.xact_id, v_delivered.created_at,
    coalesce(v_before, '00000000-0000-0000-0000-000000000000'), null, 1);
  select jsonb_build_object(
    'attempts', (select count(*) from iu_route_attempt where iu_route_attempt.xact_id = pg_current_xact_id()),
    'queued', (select count(*) from iu_route_delivery where iu_route_delivery.xact_id = pg_current_xact_id()))
  into v_counted;
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  values (
    'K1 claimed again',
    case
      when v_again.seen = 1 and v_again.event_id = v_delivered.id and v_again.attempts = 0
        and v_counted = '{"attempts": 0, "queued": 0}' then 'pass'
      else 'fail'
    end,
    format('seen=%s, attempts_written=%s; written %s, queued %s', v_again.seen, v_again.attempts, v_counted ->> 'attempts',
      v_counted ->> 'queued')
  );

  v_other := fn_iu_route_worker_pass(
    'iu_outbound_probe', v_delivered.epoch, v_delivered.xact_id, v_delivered.created_at,
    coalesce(v_before, '00000000-0000-0000-0000-000000000000'), null, 1, v_delivered.route_code);
  insert into pg_temp.iu_probe_check (check_id, verdict, detail)
  select
    'K2 another worker',
    case
      when v_other.seen = 1 and count(*) = 1 and bool_and(a.status = 'skipped' and not a.delivered) and queued.deliveries = 0
        then 'pass'
      else 'fail'
    end,
    format('seen=%s; %s; queued %s', v_other.seen, coalesce(string_agg(a.status, ', '), 'no attempt'), queued.deliveries)
  from (select count(*) as deliveries from iu_route_delivery as q where q.event_id = v_delivered.id) as queued
  left join iu_route_attempt as a on a.event_id = v_delivered.id
    and a.route_code = v_delivered.route_code
    and a.worker_code = 'iu_outbound_probe'
  group by queued.deliveries;
end
$$;

do $$
-- K3: with the delivery gate closed an event like the delivered one is blocked. K4: behind an open gate and an empty list it
-- is, too. K5: with the route in dry run it is recorded only. Nothing of the three is queued or delivered.
declare
  v_delivered record;
  v_trial record;
  v_event_id uuid;
  v_run jsonb;
  v_found record;
begin
  perform fn_iu_probe_demand();
  select * into v_delivered from pg_temp.iu_probe_delivered;
  if not found then
    return;
  end if;
  for v_trial in
    select *
    from (
      values
        ('K3 delivery gate closed', 'false', v_delivered.route_code, false, 'blocked'),
        ('K4 not on the list', 'true', '', false, 'blocked'),
        ('K5 dry run', 'false', v_delivered.route_code, true, 'dry_run')
    ) as trial (check_id, gate, list, dry_run, decision)
  loop
    update dot_config set value = v_trial.gate where dot_config.key = 'iu_core.delivery_enabled';
    if v_trial.dry_run then
      update iu_outbound_route set dry_run = true where iu_outbound_route.route_code = v_delivered.route_code;
    end if;
    update dot_config set value = v_trial.list where dot_config.key = 'iu_core.delivery_live_routes';
    v_event_id := fn_iu_emit_event(
      v_delivered.event_domain, v_delivered.event_type, v_trial.check_id, null, v_delivered.payload, 'probe');
    v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
    if v_run ->> 'status' in ('busy', 'gate_closing') then
      raise exception using
        errcode = 'lock_not_available',
        message = format('the probe found the worker %s', v_run ->> 'status'),
        hint = 'Try the whole probe again. Nothing of it is left.';
    end if;
    select
      count(*) as attempts,
      string_agg(a.decision, ', ') as decisions,
      (select count(*) from iu_route_delivery as q where q.event_id = v_event_id) as queued
    into v_found
    from iu_route_attempt as a
    where a.event_id = v_event_id
      and a.route_code = v_delivered.route_code;
    insert into pg_temp.iu_probe_check (check_id, verdict, detail)
    values (
      v_trial.check_id,
      case when v_found.attempts = 1 and v_found.decisions = v_trial.decision and v_found.queued = 0 then 'pass' else 'fail' end,
      format('%s; queued %s', coalesce(v_found.decisions, 'no attempt'), v_found.queued)
    );
  end loop;
end
$$;

do $$
-- K6 to K8: each closed gate stops routing and delivering; the answers name it.
declare
  v_trial record;
  v_run jsonb;
  v_work text;
begin
  perform fn_iu_probe_demand();
  for v_trial in
    select *
    from (
      values
        ('K6 delivery gate closed: the queue', 'iu_core.delivery_enabled', 'ran', 'delivery_gate_closed'),
        ('K7 worker gate closed', 'iu_core.route_worker_enabled', 'worker_gate_closed', 'worker_gate_closed'),
        ('K8 master gate closed', 'iu_core.outbound_enabled', 'master_gate_closed', 'master_gate_closed')
    ) as trial (check_id, gate, routing, delivering)
  loop
    update dot_config set value = 'false' where dot_config.key = v_trial.gate;
    v_run := fn_iu_route_worker_run('iu_outbound_default', 10);
    v_work := fn_iu_route_delivery_work('{}') ->> 'status';
    insert into pg_temp.iu_probe_check (check_id, verdict, detail)
    values (
      v_trial.check_id,
      case when v_run ->> 'status' = v_trial.routing and v_run ->> 'seen' = '0' and v_work = v_trial.delivering then 'pass' else 'fail' end,
      format('a run answers %s, seen=%s; the queue answers %s', v_run ->> 'status', v_run ->> 'seen', v_work)
    );
  end loop;
end
$$;

select check_id, verdict, detail
from pg_temp.iu_probe_check
order by check_no;
