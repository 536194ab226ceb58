-- One of each kind of object that a scoped snapshot covers.
do $$
declare v_role text;
begin
  foreach v_role in array array['scoped test owner', 'scoped_test_reader'] loop
    begin
      execute format('create role %I nologin', v_role);
    exception when duplicate_object or unique_violation then null;
    end;
  end loop;
end $$;

create schema iu;
create schema "odd Name";
create schema sluice;
comment on schema iu is 'information units';

create type iu.status as enum ('pending', 'claimed', 'it''s done');
comment on type iu.status is 'state';
create type iu.point_of as (x int, label text);
create function iu.fn_is_code(p_text text) returns boolean language sql immutable
  set search_path from current
  as $$ select p_text ~ '^[a-z_]+$' $$;
create domain iu.code as text collate "C" not null default 'none' constraint code_is_lower check (iu.fn_is_code(value));
comment on constraint code_is_lower on domain iu.code is 'lower case';

create table sluice.step_receipt (
  run_id uuid not null,
  step_id text not null,
  xid xid8 not null default pg_current_xact_id(),
  result jsonb not null default '{}'::jsonb,
  constraint step_receipt_pkey primary key (run_id, step_id)
);
insert into sluice.step_receipt (run_id, step_id) select gen_random_uuid(), 'step ' || g from generate_series(1, 10) g;

create sequence iu.ticket_seq start 100 increment 5;
select nextval('iu.ticket_seq');
create table iu.event_outbox (
  event_id bigint generated always as identity (start 7) primary key,
  code iu.code,
  status iu.status not null default 'pending',
  payload jsonb not null,
  tags text[] not null default '{}',
  at timestamptz not null default now(),
  amount numeric(12, 2),
  ratio double precision,
  raw bytea,
  span interval,
  place iu.point_of,
  shouted text generated always as (upper(payload ->> 'n')) stored,
  dropped_later int,
  short varchar(20),
  note text constraint note_is_short check (note in ('a', 'b', E'tab\t')),
  constraint amount_is_positive check (amount > 0) not valid
);
alter table iu.event_outbox drop column dropped_later;
alter table iu.event_outbox alter column payload set storage external;
alter table iu.event_outbox alter column tags set statistics 500;
alter table iu.event_outbox set (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.05);
comment on table iu.event_outbox is 'The outbox; it''s append-only';
comment on column iu.event_outbox.payload is E'JSON\nof the event';
insert into iu.event_outbox (code, payload, tags, amount, ratio, raw, span, place, note)
select 'code_' || case when g % 2 = 0 then 'a' else 'b' end, jsonb_build_object('n', 'größe ' || g), array['x', E'back\\slash', null],
  g, g / 3.0, decode(md5(g::text), 'hex'), g * interval '1 hour', row(g, 'l')::iu.point_of, 'b'
from generate_series(1, 5000) g;
insert into iu.event_outbox (code, payload, at, ratio) values ('odd', '"\\n\u0007"', '-infinity', 'NaN');
delete from iu.event_outbox where code = 'odd' or event_id = 8;
insert into iu.event_outbox (code, payload) values ('odd', 'null');

create table iu.unit (
  unit_id serial primary key,
  parent_id int constraint parent_exists references iu.unit on delete cascade deferrable initially deferred,
  address text not null constraint address_is_unique unique nulls not distinct,
  during int4range,
  constraint units_do_not_overlap exclude using gist (during with &&)
);
insert into iu.unit (parent_id, address, during) values (null, 'root', '[1,3)'), (1, 'root/a', '[3,9)');
set constraints all immediate;
create table "odd Name"."Weird ""Table""" ("Sel ect" int default nextval('iu.ticket_seq'), nothing iu.unit);
insert into "odd Name"."Weird ""Table""" (nothing) select u from iu.unit u;
create table iu.no_columns ();
create unlogged table iu.cache (k text primary key, v int);

create table iu.measured (at date not null, kind text not null, v int check (v >= 0), primary key (at, kind)) partition by range (at);
create table iu.measured_2025 partition of iu.measured for values from ('2025-01-01') to ('2026-01-01') partition by list (kind);
create table iu.measured_2025_a partition of iu.measured_2025 for values in ('a');
create table iu.measured_rest partition of iu.measured default;
create index measured_by_v on iu.measured (v);
insert into iu.measured select date '2025-01-01' + g % 700, 'a', g from generate_series(1, 500) g on conflict do nothing;

create index outbox_pending on iu.event_outbox (at desc nulls last, (payload ->> 'n')) include (amount) where status = 'pending';
create unique index unit_address_lower on iu.unit (lower(address) text_pattern_ops);
comment on index iu.outbox_pending is 'partial';
create statistics iu.unit_stats (dependencies) on parent_id, address from iu.unit;
alter table iu.unit replica identity using index address_is_unique;

create function iu.fn_touch() returns trigger language plpgsql security definer
  set search_path = iu, pg_temp
  as $fn$ begin raise exception using errcode = 'SL004', message = 'append-only; no % allowed', hint = tg_op; end $fn$;
comment on function iu.fn_touch() is 'refuses';
create trigger outbox_is_append_only before update or delete or truncate on iu.event_outbox
  for each statement execute function iu.fn_touch();
alter table iu.event_outbox enable always trigger outbox_is_append_only;
create trigger off after insert on iu.unit for each row when (new.parent_id is null) execute function iu.fn_touch();
alter table iu.unit disable trigger off;
create constraint trigger later after update on iu.unit deferrable initially deferred for each row execute function iu.fn_touch();
create trigger on_measured before delete on iu.measured for each row execute function iu.fn_touch();
create function iu.fn_units(p_like text default '%', variadic p_more int[] default '{}') returns table (id int, address text)
  language sql stable begin atomic
    select unit_id, u.address from iu.unit u where u.address like p_like;
  end;
create procedure iu.do_nothing(inout p_x int) language plpgsql as $$ begin null; end $$;
comment on procedure iu.do_nothing(int) is 'nothing';
create function iu.fn_of_row(p_unit iu.unit) returns text language sql stable as $$ select p_unit.address $$;

create view iu.v_units with (security_barrier = true) as select id, address from iu.fn_units();
create view iu.v_ahead as select * from iu.v_units where id > 0 with local check option;
create view iu.v_grouped as select u.unit_id, u.address, count(*) as children from iu.unit u left join iu.unit c on c.parent_id = u.unit_id group by u.unit_id;
create view iu.v_on_grouped as select sum(children) as n from iu.v_grouped;
comment on view iu.v_units is 'units';
comment on column iu.v_units.id is 'the id';
create recursive view iu.v_tree (id, depth) as
  select unit_id, 0 from iu.unit where parent_id is null union all select u.unit_id, t.depth + 1 from iu.unit u join v_tree t on u.parent_id = t.id;
create materialized view iu.m_codes as select code, count(*) as n from iu.event_outbox group by code;
create unique index m_codes_by_code on iu.m_codes (code);
create materialized view iu.m_empty as select 1 as one with no data;
alter view iu.v_ahead alter column address set default 'x';
create rule v_units_insert as on insert to iu.v_units do instead insert into iu.unit (address) values (new.address);

alter table iu.unit enable row level security;
alter table iu.unit force row level security;
create policy reading on iu.unit as restrictive for select to scoped_test_reader, "scoped test owner" using (address <> 'secret');
create policy writing on iu.unit for insert with check (parent_id is not null);
comment on policy reading on iu.unit is 'only some';
comment on trigger outbox_is_append_only on iu.event_outbox is 'always';
comment on constraint parent_exists on iu.unit is 'tree';

alter table iu.unit owner to "scoped test owner";
alter function iu.fn_touch() owner to "scoped test owner";
alter schema iu owner to "scoped test owner";
revoke execute on function iu.fn_touch() from public;
grant usage on schema iu to scoped_test_reader with grant option;
grant select, insert on iu.event_outbox to scoped_test_reader;
grant update (status, at) on iu.event_outbox to scoped_test_reader;
grant usage on sequence iu.ticket_seq to scoped_test_reader;
grant execute on function iu.fn_touch() to scoped_test_reader;
revoke usage on type iu.status from public;
grant select on iu.v_units to public;
revoke all on schema public from public;
alter default privileges for role "scoped test owner" in schema iu grant select on tables to scoped_test_reader;
alter default privileges for role "scoped test owner" revoke execute on functions from public;

create function iu.on_ddl() returns event_trigger language plpgsql as $$ begin perform 1; end $$;
create event trigger iu_ddl on ddl_command_end when tag in ('CREATE TABLE', 'DROP TABLE') execute function iu.on_ddl();
alter event trigger iu_ddl disable;
