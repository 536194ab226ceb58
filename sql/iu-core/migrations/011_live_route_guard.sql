-- does:      replaces the CHECK that forbids live routes by a guard that permits those on the list.
-- called by: macro delivery-seam, under backup, after 010.
-- locks:     ACCESS EXCLUSIVE on iu_outbound_route.
-- raises:    undefined_object where the CHECK does not stand.

create function fn_iu_outbound_route_safe_guard()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: refuses a route that is enabled and live without being on the list iu_core.delivery_live_routes.
-- called by: trigger trg_iu_outbound_route_safe_guard; locks: none; raises: check_violation.
begin
  if new.enabled and new.dry_run is not true and not fn_iu_dot_list_names('iu_core.delivery_live_routes', new.route_code) then
    raise exception using
      errcode = 'check_violation',
      constraint = 'iu_outbound_route_safe_guard',
      table = 'iu_outbound_route',
      message = format('route %s may not be live: iu_core.delivery_live_routes does not name it', new.route_code),
      hint = 'Allow it first, under approval, or keep it in dry run. Nothing was changed.';
  end if;
  return new;
end
$$;
comment on function fn_iu_outbound_route_safe_guard() is
  'Layer delivery. Trigger: a route is enabled and live only while iu_core.delivery_live_routes names it.';

create trigger trg_iu_outbound_route_safe_guard
  before insert or update on iu_outbound_route
  for each row execute function fn_iu_outbound_route_safe_guard();
alter table iu_outbound_route enable always trigger trg_iu_outbound_route_safe_guard;
alter table iu_outbound_route drop constraint iu_outbound_route_safe_chk;

alter function fn_iu_outbound_route_safe_guard() owner to iu_core_owner;
revoke all on function fn_iu_outbound_route_safe_guard() from public;
