-- does:      way back of L3: switches the triggers on as they were, and writes the events that were missed: one
--            version_applied for each version after the first that has none, in the order the versions were written.
-- called by: operators, first of the ways back.
-- locks:     SHARE ROW EXCLUSIVE on the tables of the triggers, so that no version slips through in between.
-- raises:    lock_not_available where a writer holds a table longer than lock_timeout.

do $$
declare
  v_trigger record;
  v_written bigint := 0;
begin
  for v_trigger in
    select switched_off.*
    from dot_config
    cross join lateral jsonb_to_recordset(dot_config.value::jsonb)
      as switched_off (relation text, trigger text, fires text)
    where dot_config.key = 'iu_core.l3_triggers_off'
  loop
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
    execute $missed$
      with
        missed as materialized (
          select
            unit_version.*,
            information_unit.unit_code
          from unit_version
          join information_unit on information_unit.id = unit_version.unit_id
          where unit_version.version_seq > 1
            and not exists (
              select
              from event_outbox
              where event_outbox.subject_ref = unit_version.id
                and event_outbox.event_domain = 'iu'
                and event_outbox.event_type = 'version_applied'
            )
          order by unit_version.created_at, unit_version.id
        ),
        written as (
          select fn_iu_emit_event(
            'iu',
            'version_applied',
            missed.unit_code,
            missed.id,
            jsonb_build_object(
              'unit_id', missed.unit_id,
              'unit_code', missed.unit_code,
              'version_id', missed.id,
              'version_seq', missed.version_seq,
              'content_sha256', missed.content_sha256
            ),
            missed.created_by
          ) as event_id
          from missed
        )
      select count(written.event_id)
      from written
    $missed$
    into v_written;
  end if;

  delete from dot_config
  where dot_config.key = 'iu_core.l3_triggers_off';
  raise notice '% missed events were written', v_written;
end
$$;
