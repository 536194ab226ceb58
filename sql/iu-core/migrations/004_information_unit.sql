-- does:      installs information units and their versions: every text is a version, versions are append-only and
--            numbered without gaps, and each one after the first emits `version_applied` in its own transaction.
-- called by: macro iu-core-base.
-- locks:     creates only; nothing that exists is touched.
-- raises:    duplicate_table, duplicate_function where foreign objects hold these names.

create table information_unit (
  id uuid primary key default fn_iu_uuid_v7(),
  unit_code text collate "C" not null,
  document text collate "C",
  title text not null,
  lifecycle_status text not null default 'draft',
  head_version_seq integer not null default 0,
  head_sha256 text,
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint unit_code_is_unique unique (unit_code),
  constraint unit_code_is_an_address check (unit_code ~ '^\S(.*\S)?$' and octet_length(unit_code) <= 2000),
  constraint document_is_named check (document ~ '\S' and octet_length(document) <= 2000),
  constraint title_is_named check (title ~ '\S'),
  constraint lifecycle_status_is_known check (lifecycle_status in ('draft', 'enacted', 'superseded', 'deprecated')),
  constraint head_version_seq_is_not_negative check (head_version_seq >= 0),
  constraint a_head_has_its_digest check ((head_version_seq = 0) = (head_sha256 is null)),
  constraint created_by_is_named check (created_by ~ '\S')
) with (fillfactor = 80);
create index information_unit_of_a_document on information_unit (document) where document is not null;
comment on table information_unit is
  'Layer content. A piece of text kept as data; the text itself is in unit_version. Rows are never deleted.';
comment on column information_unit.id is 'Identity, uuid v7.';
comment on column information_unit.unit_code is 'Stable address, for instance docs/runbook.md#restart.';
comment on column information_unit.document is 'Address of the document it was cut from; null for a unit without a document.';
comment on column information_unit.title is 'Title for people; may change without a version.';
comment on column information_unit.lifecycle_status is
  'draft; enacted; superseded (another unit took its place); deprecated. Changed only by governed operations.';
comment on column information_unit.head_version_seq is
  'Number of the newest version, 0 before the first. Raised under this row''s lock, which is what makes numbers gapless.';
comment on column information_unit.head_sha256 is 'Digest of the newest version''s text, so that an unchanged text is seen without reading it.';
comment on column information_unit.created_by is 'Who created it, as claimed by the caller.';
comment on column information_unit.created_at is 'When it was created.';

create table unit_version (
  id uuid primary key default fn_iu_uuid_v7(),
  unit_id uuid not null references information_unit,
  version_seq integer not null,
  body text not null,
  content_sha256 text not null,
  source jsonb not null default '{}',
  created_by text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint version_seq_is_unique_in_its_unit unique (unit_id, version_seq),
  constraint version_seq_is_positive check (version_seq >= 1),
  constraint content_sha256_is_of_the_body
    check (content_sha256 = encode(sha256(convert_to(body, 'UTF8')), 'hex')),
  constraint source_is_an_object check (jsonb_typeof(source) = 'object'),
  constraint created_by_is_named check (created_by ~ '\S')
);
comment on table unit_version is 'Layer content. Every text a unit ever had, append-only; one row for each edit.';
comment on column unit_version.id is 'Identity, uuid v7; the subject of the event that the version emits.';
comment on column unit_version.unit_id is 'The unit.';
comment on column unit_version.version_seq is 'Number of the version in its unit, from 1, without gaps; drawn when it is left out.';
comment on column unit_version.body is 'The text.';
comment on column unit_version.content_sha256 is 'Lower-case hex sha256 of the UTF-8 text; computed when it is left out.';
comment on column unit_version.source is 'Where the text came from: kind, path, lines, commit.';
comment on column unit_version.created_by is 'Who wrote it, as claimed by the caller.';
comment on column unit_version.created_at is 'When it was written.';

create function fn_iu_version_in_sequence()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: draws the next number of the unit and computes the digest; a number that was given must be the next one.
-- called by: trigger trg_iu_version_in_sequence, before a version is inserted.
-- locks: the unit's row until the transaction ends, so two writers of one unit follow each other.
-- raises: check_violation when a given number is not the next one.
declare
  v_next integer;
begin
  new.content_sha256 := coalesce(new.content_sha256, encode(sha256(convert_to(new.body, 'UTF8')), 'hex'));

  update information_unit
  set
    head_version_seq = information_unit.head_version_seq + 1,
    head_sha256 = new.content_sha256
  where information_unit.id = new.unit_id
  returning information_unit.head_version_seq into v_next;

  if new.version_seq <> v_next then
    raise exception using
      errcode = 'check_violation',
      message = format('version %s of unit %s is not the next one, which is %s', new.version_seq, new.unit_id, v_next),
      hint = 'Leave version_seq out and it is drawn. Nothing was changed.';
  end if;
  new.version_seq := coalesce(new.version_seq, v_next, 1);
  return new;
end
$$;
comment on function fn_iu_version_in_sequence() is
  'Layer content. Trigger: gives a version the next number of its unit, under the unit''s row lock, and its digest.';

create function fn_iu_out_version()
  returns trigger
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: emits version_applied for a version after the first, in the transaction that adds it; no text leaves the table.
-- called by: trigger trg_iu_out_version.
-- locks: none of its own.
-- raises: whatever the emitter refuses, which takes the version with it.
declare
  v_unit information_unit;
begin
  select *
  into strict v_unit
  from information_unit
  where information_unit.id = new.unit_id;

  perform fn_iu_emit_event(
    p_event_domain => 'iu',
    p_event_type => 'version_applied',
    p_event_subject => v_unit.unit_code,
    p_subject_ref => new.id,
    p_payload => jsonb_build_object(
      'unit_id', new.unit_id,
      'unit_code', v_unit.unit_code,
      'version_id', new.id,
      'version_seq', new.version_seq,
      'content_sha256', new.content_sha256
    ),
    p_actor => new.created_by
  );
  return null;
end
$$;
comment on function fn_iu_out_version() is
  'Layer content. Trigger: a version with version_seq > 1 emits version_applied in its own transaction.';

create trigger trg_iu_version_in_sequence
  before insert on unit_version
  for each row execute function fn_iu_version_in_sequence();
create trigger trg_iu_version_append_only
  before update or delete on unit_version
  for each row execute function fn_iu_append_only();
create trigger trg_iu_version_no_truncate
  before truncate on unit_version
  for each statement execute function fn_iu_append_only();
create trigger trg_iu_out_version
  after insert on unit_version
  for each row
  when (new.version_seq > 1)
  execute function fn_iu_out_version();
alter table unit_version enable always trigger trg_iu_version_in_sequence;
alter table unit_version enable always trigger trg_iu_version_append_only;
alter table unit_version enable always trigger trg_iu_version_no_truncate;
alter table unit_version enable always trigger trg_iu_out_version;

create function fn_iu_create_unit(
  p_unit_code text,
  p_title text,
  p_body text,
  p_actor text,
  p_source jsonb default '{}',
  p_document text default null
)
  returns uuid
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: creates a draft unit with its version 1, which emits nothing; returns the unit's id.
-- called by: producers with role iu_core_emitter.
-- locks: the new row.
-- raises: unique_violation where the address is taken; check_violation for an empty title, address or actor.
declare
  v_unit_id uuid;
begin
  insert into information_unit (unit_code, document, title, created_by)
  values (p_unit_code, p_document, p_title, p_actor)
  returning information_unit.id into v_unit_id;

  insert into unit_version (unit_id, body, source, created_by)
  values (v_unit_id, p_body, coalesce(p_source, '{}'), p_actor);
  return v_unit_id;
end
$$;
comment on function fn_iu_create_unit(text, text, text, text, jsonb, text) is
  'Layer content. Creates a draft unit with its first version and returns its id; no event.';

create function fn_iu_add_version(
  p_unit_code text,
  p_body text,
  p_actor text,
  p_source jsonb default '{}',
  out outcome text,
  out version_seq integer,
  out version_id uuid
)
  language plpgsql
  security definer
  set search_path from current
as $$
-- does: adds a version and returns `added`; a text equal to the newest one adds nothing and returns `unchanged` with
--       the version that holds it.
-- called by: producers with role iu_core_emitter.
-- locks: the unit's row until the transaction ends.
-- raises: no_data_found for an address without a unit.
declare
  v_unit_id uuid;
  v_head_seq integer;
  v_head_sha256 text;
begin
  select information_unit.id, information_unit.head_version_seq, information_unit.head_sha256
  into v_unit_id, v_head_seq, v_head_sha256
  from information_unit
  where information_unit.unit_code = p_unit_code
  for no key update;
  if not found then
    raise exception using
      errcode = 'no_data_found',
      message = format('there is no unit with the address %s', p_unit_code),
      hint = 'Create it with fn_iu_create_unit. Nothing was changed.';
  end if;

  if v_head_sha256 = encode(sha256(convert_to(p_body, 'UTF8')), 'hex') then
    outcome := 'unchanged';
    select v_head_seq, unit_version.id
    into version_seq, version_id
    from unit_version
    where unit_version.unit_id = v_unit_id
      and unit_version.version_seq = v_head_seq;
    return;
  end if;

  insert into unit_version (unit_id, body, source, created_by)
  values (v_unit_id, p_body, coalesce(p_source, '{}'), p_actor)
  returning 'added', unit_version.version_seq, unit_version.id
  into outcome, version_seq, version_id;
end
$$;
comment on function fn_iu_add_version(text, text, text, jsonb) is
  'Layer content. Adds the next version of a unit, or tells that the text is unchanged.';

alter table information_unit owner to iu_core_owner;
alter table unit_version owner to iu_core_owner;
alter function fn_iu_version_in_sequence() owner to iu_core_owner;
alter function fn_iu_out_version() owner to iu_core_owner;
alter function fn_iu_create_unit(text, text, text, text, jsonb, text) owner to iu_core_owner;
alter function fn_iu_add_version(text, text, text, jsonb) owner to iu_core_owner;

revoke all on table information_unit, unit_version from public;
revoke all on function fn_iu_version_in_sequence() from public;
revoke all on function fn_iu_out_version() from public;
revoke all on function fn_iu_create_unit(text, text, text, text, jsonb, text) from public;
revoke all on function fn_iu_add_version(text, text, text, jsonb) from public;
grant select on table information_unit, unit_version to iu_core_operator, iu_core_auditor;
grant execute on function fn_iu_create_unit(text, text, text, text, jsonb, text) to iu_core_emitter;
grant execute on function fn_iu_add_version(text, text, text, jsonb) to iu_core_emitter;
