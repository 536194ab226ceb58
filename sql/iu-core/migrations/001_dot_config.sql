-- does:      installs the configuration table and the one way to read a gate, which answers `closed` unless the row says
--            exactly `true`; opens the master gate, behind which nothing is installed yet.
-- called by: macro iu-core-base.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, duplicate_function where foreign objects hold these names.

create table dot_config (
  key text primary key,
  value text,
  updated_at timestamptz not null default clock_timestamp(),
  updated_by text not null default session_user,
  constraint key_is_named check (key ~ '^\S+$')
);
comment on table dot_config is 'Layer gates. Configuration: one row for each key; a gate is a row whose value is exactly `true`.';
comment on column dot_config.key is 'Name, dotted, for instance iu_core.outbound_enabled.';
comment on column dot_config.value is 'Value as text. For a gate anything but exactly `true` is closed.';
comment on column dot_config.updated_at is 'When it was changed last; set by the database.';
comment on column dot_config.updated_by is 'Login that changed it last; set by the database.';

create function fn_iu_stamp_config()
  returns trigger
  language plpgsql
  set search_path from current
as $$
-- does: records when and by which login a row was changed; called by: trigger; locks: none; raises: nothing.
begin
  new.updated_at := clock_timestamp();
  new.updated_by := session_user;
  return new;
end
$$;
comment on function fn_iu_stamp_config() is 'Layer gates. Trigger: stamps a configuration row with time and login.';

create trigger trg_iu_stamp_config
  before insert or update on dot_config
  for each row execute function fn_iu_stamp_config();
alter table dot_config enable always trigger trg_iu_stamp_config;

create function fn_iu_gate_open(p_key text)
  returns boolean
  language plpgsql
  stable
  set search_path from current
as $$
-- does: true only where the row says exactly `true`; a missing row, null, other text or no permission is false.
-- called by: the route worker, its seam and health, checks.
-- locks: none.
-- raises: nothing; never returns null.
begin
  return exists (
    select
    from dot_config
    where dot_config.key = p_key
      and dot_config.value collate "C" = 'true'
  );
exception
  when insufficient_privilege or undefined_table then
    return false;
end
$$;
comment on function fn_iu_gate_open(text) is
  'Layer gates. Whether a gate is open: true only for exactly `true`, otherwise false, never null.';

create function fn_iu_config_positive_int(p_key text)
  returns integer
  language plpgsql
  stable
  set search_path from current
as $$
-- does: reads a limit; called by: emitter, route worker, health; locks: none.
-- raises: config_file_error where the row is missing or holds no positive whole number.
declare
  v_value text;
begin
  select dot_config.value
  into v_value
  from dot_config
  where dot_config.key = p_key;

  if v_value is null or v_value !~ '^[1-9][0-9]{0,8}$' then
    raise exception using
      errcode = 'config_file_error',
      message = format('dot_config row %s holds %s', p_key, coalesce(quote_literal(v_value), 'nothing')),
      hint = 'A positive whole number was expected. Set the row; nothing was changed.';
  end if;
  return v_value::integer;
end
$$;
comment on function fn_iu_config_positive_int(text) is
  'Layer gates. A limit from configuration as a positive whole number; refuses a missing or malformed row.';

insert into dot_config (key, value)
values ('iu_core.outbound_enabled', 'true');

alter table dot_config owner to iu_core_owner;
alter function fn_iu_stamp_config() owner to iu_core_owner;
alter function fn_iu_gate_open(text) owner to iu_core_owner;
alter function fn_iu_config_positive_int(text) owner to iu_core_owner;

revoke all on table dot_config from public;
revoke all on function fn_iu_stamp_config() from public;
revoke all on function fn_iu_gate_open(text) from public;
revoke all on function fn_iu_config_positive_int(text) from public;
grant select, insert (key, value), update (value) on table dot_config to iu_core_operator;
grant select on table dot_config to iu_core_auditor;
grant execute on function fn_iu_gate_open(text) to iu_core_worker, iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_config_positive_int(text) to iu_core_operator, iu_core_auditor;
