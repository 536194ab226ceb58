import type pg from 'pg';

/** Attempts of the audit by decision. */
export interface AttemptCount {
  readonly decision: string;
  readonly status: string;
  readonly count: number;
}

export async function readAttempts(sql: pg.Client): Promise<readonly AttemptCount[]> {
  const found = await sql.query<AttemptCount>(
    `select decision, status, count(*)::int as count
     from iu_route_attempt
     group by decision, status
     order by decision, status`,
  );
  return found.rows;
}
