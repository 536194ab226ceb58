-- does:      way back of L3: switches the triggers on as they were, and writes the events that were missed: one
--            version_applied for each version after the first that has none, in the order the versions were written.
--            Where retention has let events go, older versions count only if they were written since L3: the others had
--            theirs.
-- called by: the rollback of macro disable-outbound-fully; operators, first of the ways back.
-- locks:     SHARE ROW EXCLUSIVE on the versions and the tables of the triggers: no version slips through in between, and
--            a second way back at the same moment finds the events of the first.
-- raises:    lock_not_available where a writer holds a table longer than lock_timeout.

do $$
declare
  v_trigger record;
  v_off_since timestamptz;
  v_written bigint := 0;
begin
  if to_regclass('unit_version') is not null then
    lock table unit_version in share row exclusive mode;
  end if;

  for v_trigger in
    select switched_off.*
    from dot_config
    cross join lateral jsonb_to_recordset(dot_config.value::jsonb)
      as switched_off (relation text, trigger text, fires text, since timestamptz)
    where dot_config.key = 'iu_core.l3_triggers_off'
  loop
    v_off_since := least(v_off_since, v_trigger.since);
    if exists (
      select
      from pg_trigger as t
      where t.tgrelid = to_regclass(quote_ident(v_trigger.relation))
        and t.tgname = v_trigger.trigger
    ) then
      execute format('alter table %I enable %s trigger %I',
        v_trigger.relation,
        case v_trigger.fires when 'A' then 'always' when 'R' then 'replica' else '' end,
        v_trigger.trigger);
    end if;
  end loop;

  if to_regclass('unit_version') is not null then
    -- A clock may have been set back: within its unit a version never comes before the one it follows.
    execute $missed$
      with
        missed as (
          select
            unit_version.id,
            unit_version.unit_id,
            unit_version.version_seq,
            unit_version.content_sha256,
            unit_version.created_by,
            max(unit_version.created_at) over (
              partition by unit_version.unit_id
              order by unit_version.version_seq
            ) as written_at
          from unit_version
          where unit_version.version_seq > 1
            and unit_version.created_at >= least($1, fn_iu_retention_retired_until())
            and not exists (
              select
              from event_outbox
              where event_outbox.subject_ref = unit_version.id
                and event_outbox.event_domain = 'iu'
                and event_outbox.event_type = 'version_applied'
            )
        ),
        ordered as materialized (
          select
            missed.*,
            information_unit.unit_code
          from missed
          join information_unit on information_unit.id = missed.unit_id
          order by missed.written_at, missed.unit_id, missed.version_seq
        ),
        written as (
          select fn_iu_emit_event(
            'iu',
            'version_applied',
            ordered.unit_code,
            ordered.id,
            jsonb_build_object(
              'unit_id', ordered.unit_id,
              'unit_code', ordered.unit_code,
              'version_id', ordered.id,
              'version_seq', ordered.version_seq,
              'content_sha256', ordered.content_sha256
            ),
            ordered.created_by
          ) as event_id
          from ordered
        )
      select count(written.event_id)
      from written
    $missed$
    into v_written
    using v_off_since;
  end if;

  delete from dot_config
  where dot_config.key = 'iu_core.l3_triggers_off';
  raise notice '% missed events were written', v_written;
end
$$;
