import type pg from 'pg';

/** Health of the outbox and its attempts by decision, as the target's own functions tell them. */
export async function readOutbox(sql: pg.Client): Promise<{
  health: Readonly<Record<string, unknown>>;
  organicAttempts: readonly { decision: string; status: string; count: number }[];
}> {
  const health = await sql.query<{ health: Record<string, unknown> }>('select fn_iu_route_worker_health() as health');
  const attempts = await sql.query<{ decision: string; status: string; count: number }>(
    `select decision, status, count(*)::int as count
     from iu_route_attempt
     group by decision, status
     order by decision, status`,
  );
  return { health: health.rows[0]?.health ?? {}, organicAttempts: attempts.rows };
}
