-- does:      installs what live delivery keeps: its gate and its lists, closed and empty; its limits; and a circuit breaker for
--            each route. The functions that build the seam come after it.
-- called by: macro delivery-seam.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, unique_violation where foreign objects or settings hold these names.

insert into dot_config (key, value)
values
  ('iu_core.delivery_enabled', 'false'),
  ('iu_core.delivery_live_routes', ''),
  ('iu_core.delivery_functions', ''),
  ('iu_core.delivery_max_batch', '5000'),
  ('iu_core.delivery_breaker_min_tries', '10'),
  ('iu_core.delivery_breaker_percent', '70'),
  ('iu_core.delivery_breaker_window_seconds', '60'),
  ('iu_core.delivery_breaker_wait_seconds', '30'),
  ('iu_core.delivery_breaker_max_wait_seconds', '600');

create table iu_route_breaker (
  route_code text collate "C" primary key,
  state text not null default 'closed',
  window_started_at timestamptz not null default clock_timestamp(),
  first_tries integer not null default 0,
  first_failures integer not null default 0,
  wait_seconds integer not null default 0,
  probe_at timestamptz,
  opened_at timestamptz,
  last_failure_code text,
  updated_at timestamptz not null default clock_timestamp(),
  constraint state_is_known check (state in ('closed', 'open', 'half_open')),
  constraint failures_are_among_the_tries check (first_failures between 0 and first_tries),
  constraint only_a_closed_breaker_awaits_no_probe check ((state = 'closed') = (probe_at is null))
) with (fillfactor = 20);
comment on table iu_route_breaker is
  'Layer delivery. Circuit breaker of a route: it opens where first tries keep failing, and then lets one probe through at a time.';
comment on column iu_route_breaker.route_code is 'The route; a row comes with its first settled delivery.';
comment on column iu_route_breaker.state is 'closed (delivers), open (waits for probe_at, uses up no attempt), half_open (one probe is under way).';
comment on column iu_route_breaker.window_started_at is 'Since when tries are counted.';
comment on column iu_route_breaker.first_tries is 'First tries of deliveries settled in the window; retries are not counted.';
comment on column iu_route_breaker.first_failures is 'How many of them failed.';
comment on column iu_route_breaker.wait_seconds is 'How long it stays open this time; doubled when a probe fails.';
comment on column iu_route_breaker.probe_at is 'When the next probe may go; of a probe under way, when it counts as lost.';
comment on column iu_route_breaker.opened_at is 'When it opened last.';
comment on column iu_route_breaker.last_failure_code is 'What failed last.';
comment on column iu_route_breaker.updated_at is 'When it was changed last.';

alter table iu_route_breaker owner to iu_core_owner;
revoke all on table iu_route_breaker from public;
grant select on table iu_route_breaker to iu_core_operator, iu_core_auditor;
