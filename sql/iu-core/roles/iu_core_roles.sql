-- does:      makes the five roles of IU Core (NOLOGIN) where they are missing, lets each use the schema, and lets a
--            user who is no superuser act as iu_core_owner, so that every object can be given to that role.
-- called by: macro iu-core-base, as its first step.
-- locks:     each role against a concurrent drop, until the transaction ends.
-- raises:    insufficient_privilege where a user without CREATEROLE finds a role missing or may not act as the owner.

do $$
declare
  v_schema constant text := current_schema();
  v_role text;
begin
  foreach v_role in array array[
    'iu_core_owner', 'iu_core_emitter', 'iu_core_worker', 'iu_core_operator', 'iu_core_auditor']
  loop
    -- Roles belong to the cluster: another database may create or drop one at this moment. The grant holds the
    -- role until the transaction ends; where the role vanished before it, it is made again.
    for v_try in 1..10 loop
      begin
        execute format('create role %I nologin', v_role);
      exception
        when duplicate_object or unique_violation then
          null;
      end;
      begin
        if v_role = 'iu_core_owner' then
          execute format('grant usage, create on schema %I to %I', v_schema, v_role);
        else
          execute format('grant usage on schema %I to %I', v_schema, v_role);
        end if;
        exit;
      exception
        when undefined_object then
          if v_try = 10 then
            raise;
          end if;
      end;
    end loop;
  end loop;

  if not (select rolsuper from pg_roles where rolname = current_user)
    and not pg_has_role(current_user, 'iu_core_owner', 'usage')
  then
    execute format('grant iu_core_owner to %I', current_user);
  end if;
end
$$;

do $$
-- Since when somebody holds the high-water mark back is seen only by a role that reads other sessions.
begin
  if not pg_has_role('iu_core_operator', 'pg_read_all_stats', 'usage') then
    grant pg_read_all_stats to iu_core_operator;
  end if;
exception
  when insufficient_privilege or unique_violation or internal_error then
    raise notice 'iu_core_operator cannot see how old other sessions are; a superuser may grant pg_read_all_stats to it';
end
$$;

do $$
declare
  v_comment record;
begin
  for v_comment in
    select *
    from (values
      ('iu_core_owner', 'Owns every object of IU Core; nobody logs in as it.'),
      ('iu_core_emitter', 'May emit events through fn_iu_emit_event, and nothing else.'),
      ('iu_core_worker', 'May run the route worker and replay dead letters; changes no table by itself.'),
      ('iu_core_operator', 'Reads everything, changes configuration and gates, replays, probes.'),
      ('iu_core_auditor', 'Reads everything, changes nothing.')
    ) as described (role_name, what)
    where shobj_description(to_regrole(role_name)::oid, 'pg_authid') is distinct from what
  loop
    begin
      execute format('comment on role %I is %L', v_comment.role_name, v_comment.what);
    exception
      when insufficient_privilege or internal_error or unique_violation then
        null;
    end;
  end loop;
end
$$;
