import type pg from 'pg';

/** A fault that a release could have, as an edit of the real function's text. */
export interface WrongDelivery {
  readonly name: string;
  readonly function: string;
  readonly replace: RegExp;
  /** How often the text holds it; once where it is not said. */
  readonly times?: number;
  readonly by: string;
}

export const WITHOUT_FENCE: WrongDelivery = {
  name: 'outcomes are settled without the fence of the lease',
  function: 'fn_iu_route_delivery_settle',
  replace: /\n\s+and iu_route_delivery\.lease_token = p_lease_token/g,
  // First tries that went well, and all others.
  times: 2,
  by: '',
};

/** Two workers deliver the same at the same time. */
export const WITHOUT_LEASE: WrongDelivery = {
  name: 'a claim writes no lease',
  function: 'fn_iu_route_delivery_claim',
  replace: /where exists \(select from due\)/g,
  by: 'where false',
};

/** What a lost worker held never comes back. */
export const ENDLESS_LEASE: WrongDelivery = {
  name: 'a lease never ends',
  function: 'fn_iu_route_delivery_claim',
  replace: /clock_timestamp\(\) \+ make_interval\(secs => p_lease_ms \/ 1000\.0\)/g,
  by: "clock_timestamp() + interval '1 year'",
};

/**
 * Puts a wrong function in the place of the right one.
 * @throws when the function's text is not the one that the edit was written for
 */
export async function alterFunction(sql: pg.Client, wrong: WrongDelivery): Promise<void> {
  const { rows } = await sql.query<{ text: string }>(
    'select pg_get_functiondef(oid) as text from pg_proc where proname = $1',
    [wrong.function],
  );
  const [found, ...others] = rows;
  const seen = found?.text.match(wrong.replace)?.length ?? 0;
  const { times = 1 } = wrong;
  if (found === undefined || others.length > 0 || seen !== times) {
    throw new Error(
      `${wrong.name}: ${rows.length} functions ${wrong.function}, which has it ${seen} times, not ${times}`,
    );
  }
  await sql.query(found.text.replace(wrong.replace, () => wrong.by));
}
