-- does:      takes the grants of the five roles in this database away, and drops each role on which nothing else in the
--            cluster depends; a role that another database still uses stays.
-- called by: the rollback of macro iu-core-base, last.
-- locks:     each role, while it is dropped.
-- raises:    SL001 while a role still owns something in this database.

do $$
declare
  v_role text;
  v_owned text;
begin
  foreach v_role in array array[
    'iu_core_auditor', 'iu_core_operator', 'iu_core_worker', 'iu_core_emitter', 'iu_core_owner']
  loop
    continue when to_regrole(v_role) is null;

    select string_agg(pg_describe_object(d.classid, d.objid, 0), ', ')
    into v_owned
    from pg_shdepend as d
    join pg_database as b on b.oid = d.dbid
    where b.datname = current_database()
      and d.refclassid = 'pg_authid'::regclass
      and d.refobjid = to_regrole(v_role)
      and d.deptype = 'o';
    if v_owned is not null then
      raise exception using
        errcode = 'SL001',
        message = format('role %s still owns %s', v_role, v_owned),
        hint = 'Undo the migrations first; this file only takes roles away. Nothing was changed.';
    end if;

    begin
      execute format('drop owned by %I restrict', v_role);
    exception
      when insufficient_privilege then
        execute format('revoke all on schema %I from %I', current_schema(), v_role);
    end;

    -- A login that somebody gave this role to still counts on it.
    continue when exists (
      select
      from pg_auth_members as m
      where m.roleid = to_regrole(v_role)
        and m.member <> to_regrole(current_user::text)
    );
    begin
      execute format('drop role %I', v_role);
    exception
      when dependent_objects_still_exist or undefined_object or insufficient_privilege or internal_error then
        raise notice 'role % stays: %', v_role, sqlerrm;
    end;
  end loop;
end
$$;
