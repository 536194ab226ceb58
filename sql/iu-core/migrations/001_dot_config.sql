-- does:      installs the configuration table, the one way to read a gate, which answers `closed` unless the row says
--            exactly `true`, and the audit of every change to it; opens the master gate, behind which nothing is yet.
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

create function fn_iu_append_only()
  returns trigger
  language plpgsql
  set search_path from current
as $$
-- does: refuses the change; called by: triggers of append-only tables; locks: none; raises: SL004.
begin
  raise exception using
    errcode = 'SL004',
    message = format('table %I is append-only; %s is refused', tg_table_name, tg_op),
    hint = 'The rows are evidence. Nothing was changed.';
end
$$;
comment on function fn_iu_append_only() is 'Layer gates. Trigger: rows that are evidence are never changed or removed.';

create table iu_control_change (
  change_no bigint generated always as identity primary key,
  changed_at timestamptz not null default clock_timestamp(),
  control text not null,
  name text not null,
  was jsonb,
  became jsonb,
  login text not null default session_user,
  actor text,
  reason text,
  xact_id xid8 not null default pg_current_xact_id(),
  constraint control_is_known check (control in ('config', 'route')),
  constraint a_change_changes_something check (was is distinct from became)
);
comment on table iu_control_change is
  'Layer gates. Audit, append-only: every change of a gate, a limit or a route, by whatever way it was made.';
comment on column iu_control_change.change_no is 'Number, ascending.';
comment on column iu_control_change.changed_at is 'When.';
comment on column iu_control_change.control is 'config (a row of dot_config) or route.';
comment on column iu_control_change.name is 'Key or route code.';
comment on column iu_control_change.was is 'The value before; null where the row is new.';
comment on column iu_control_change.became is 'The value since; null where the row was removed.';
comment on column iu_control_change.login is 'Login of the session.';
comment on column iu_control_change.actor is 'Who asked for it, as claimed in the setting sluice.actor of the transaction.';
comment on column iu_control_change.reason is 'Why, as claimed in the setting sluice.reason of the transaction.';
comment on column iu_control_change.xact_id is 'Transaction that made it.';
create trigger trg_iu_control_change_append_only
  before update or delete on iu_control_change
  for each row execute function fn_iu_append_only();
create trigger trg_iu_control_change_no_truncate
  before truncate on iu_control_change
  for each statement execute function fn_iu_append_only();
alter table iu_control_change enable always trigger trg_iu_control_change_append_only;
alter table iu_control_change enable always trigger trg_iu_control_change_no_truncate;

create function fn_iu_note_control_change()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: records a change of a control with actor and reason of the transaction; tg_argv: control, naming column, and the
--       columns that are no part of the value.
-- called by: triggers on dot_config and iu_outbound_route; locks: none; raises: nothing.
declare
  v_was constant jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) - tg_argv[2:] end;
  v_became constant jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) - tg_argv[2:] end;
begin
  if v_was is distinct from v_became then
    insert into iu_control_change (control, name, was, became, actor, reason)
    values (
      tg_argv[0],
      coalesce(v_became, v_was) ->> tg_argv[1],
      v_was,
      v_became,
      nullif(current_setting('sluice.actor', true), ''),
      nullif(current_setting('sluice.reason', true), ''));
  end if;
  return null;
end
$$;
comment on function fn_iu_note_control_change() is
  'Layer gates. Trigger: writes each change of a gate, a limit or a route into iu_control_change.';
create trigger trg_iu_note_config_change
  after insert or update or delete on dot_config
  for each row execute function fn_iu_note_control_change('config', 'key', 'updated_at', 'updated_by');
alter table dot_config enable always trigger trg_iu_note_config_change;

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
alter table iu_control_change owner to iu_core_owner;
alter function fn_iu_append_only() owner to iu_core_owner;
alter function fn_iu_note_control_change() owner to iu_core_owner;
alter function fn_iu_stamp_config() owner to iu_core_owner;
alter function fn_iu_gate_open(text) owner to iu_core_owner;
alter function fn_iu_config_positive_int(text) owner to iu_core_owner;

revoke all on table dot_config, iu_control_change from public;
revoke all on function fn_iu_append_only() from public;
revoke all on function fn_iu_note_control_change() from public;
revoke all on function fn_iu_stamp_config() from public;
revoke all on function fn_iu_gate_open(text) from public;
revoke all on function fn_iu_config_positive_int(text) from public;
grant select, insert (key, value), update (value) on table dot_config to iu_core_operator;
grant select on table dot_config to iu_core_auditor;
grant select on table iu_control_change to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_gate_open(text) to iu_core_worker, iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_config_positive_int(text) to iu_core_operator, iu_core_auditor;
