-- does:      level L3 of the disable runbook: switches off the triggers that write events (trg_iu_out_…), found in the
--            catalog, and keeps in dot_config which they were, how they fired and since when. Edits go on and write no event;
--            the way back writes the events that were missed.
-- called by: macro disable-outbound-fully; the runbook, after L2.
-- locks:     SHARE ROW EXCLUSIVE on the tables of the triggers.
-- raises:    lock_not_available where a writer holds a table longer than lock_timeout.

do $$
declare
  v_trigger record;
  v_switched_off jsonb := '[]';
begin
  for v_trigger in
    select
      c.relname as relation,
      t.tgname as trigger_name,
      t.tgenabled as fires
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    join pg_namespace as n on n.oid = c.relnamespace
    where n.nspname = current_schema()
      and starts_with(t.tgname, 'trg_iu_out_')
      and not t.tgisinternal
      and t.tgenabled <> 'D'
    order by c.relname, t.tgname
  loop
    execute format('alter table %I disable trigger %I', v_trigger.relation, v_trigger.trigger_name);
    v_switched_off := v_switched_off || jsonb_build_object(
      'relation', v_trigger.relation,
      'trigger', v_trigger.trigger_name,
      'fires', v_trigger.fires,
      'since', clock_timestamp());
  end loop;

  if v_switched_off <> '[]' then
    insert into dot_config (key, value)
    values ('iu_core.l3_triggers_off', v_switched_off::text)
    on conflict (key) do update
    set value = (coalesce(nullif(dot_config.value, ''), '[]')::jsonb || excluded.value::jsonb)::text;
  end if;
end
$$;
