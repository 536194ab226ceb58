import type pg from 'pg';

/** What the `sql_function` route calls, and the jobs of pg-boss as well. */
export const FUNCTION = 'bench.take';

const WAYS = {
  raises: `raise exception 'the shelf is not built yet';`,
  works: `insert into bench.effect (idempotency_key, unit)
    values (request ->> 'idempotency_key', request #>> '{safe_payload,unit}');
  return null;`,
} as const;

/** A function of an application beside IU Core, owned by a role of its own: one row for each event that it takes. */
export async function createFunction(client: pg.Client, does: keyof typeof WAYS): Promise<void> {
  await client.query(`
    do $$
    begin
      create role bench_owner nologin;
    exception
      when duplicate_object then null;
    end
    $$;
    create schema bench authorization bench_owner;
    create table bench.effect (idempotency_key text primary key, unit text not null);
    alter table bench.effect owner to bench_owner`);
  await replaceFunction(client, does);
}

/** From now on it does that. */
export async function replaceFunction(client: pg.Client, does: keyof typeof WAYS): Promise<void> {
  await client.query(`
    create or replace function ${FUNCTION}(request jsonb)
      returns jsonb
      language plpgsql
      security definer
      set search_path = bench, pg_temp
    as $$
    begin
      ${WAYS[does]}
    end
    $$;
    alter function ${FUNCTION}(jsonb) owner to bench_owner`);
}
