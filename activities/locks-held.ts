import type pg from 'pg';

/** Relations outside the engine's schema that the current transaction holds a lock stronger than reading on. */
export async function locksHeld(client: pg.Client): Promise<readonly { relation: string; mode: string }[]> {
  const held = await client.query<{ relation: string; mode: string }>(
    `select distinct c.oid::regclass::text as relation, l.mode
     from pg_locks as l
     join pg_class as c on c.oid = l.relation
     where l.pid = pg_backend_pid()
       and l.locktype = 'relation'
       and l.database = (select d.oid from pg_database as d where d.datname = current_database())
       and l.mode not in ('AccessShareLock')
       and c.relnamespace not in ('pg_catalog'::regnamespace, 'sluice'::regnamespace, 'pg_toast'::regnamespace)
       and c.relkind in ('r', 'p', 'm', 'v')
     order by relation, l.mode`,
  );
  return held.rows;
}
