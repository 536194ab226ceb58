-- does:      lets every cursor rest, so that events wait in the backlog until one of them is routed live, alone.
-- called by: macro delivery-live.
-- locks:     the cursors' rows; a run that has one is waited for.
-- raises:    SL008 where a cursor rests already, or there is none.

do $$
declare
  v_resting text;
begin
  select string_agg(format('%s: %s', c.cursor_code, c.paused_because), '; ')
  into v_resting
  from iu_route_worker_cursor as c
  where c.paused_because is not null;
  if v_resting is not null or not exists (
    select
    from iu_route_worker_cursor as c
    where c.cursor_code = 'iu_outbound_default'
  ) then
    raise exception using
      errcode = 'SL008',
      message = format('the cursors cannot be let rest: %s', coalesce(v_resting, 'there is no cursor iu_outbound_default')),
      hint = 'Every cursor was expected to be at work. Nothing was changed.';
  end if;
  update iu_route_worker_cursor
  set paused_because = 'delivery-live: one controlled delivery';
end
$$;
