import type pg from 'pg';

/** A cursor rule that loses events, as an edit of the real function's text. */
export interface WrongCursor {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** What the edited text calls. */
  readonly needs?: string;
}

interface Edit {
  readonly replace: RegExp;
  readonly by: string;
  /** How often it has to be found. */
  readonly times: number;
}

const CLAIMS = 'fn_iu_route_worker_pass';

const KEYSET =
  /\(event_outbox\.epoch, event_outbox\.xact_id, event_outbox\.created_at, event_outbox\.id\) > \(\s*p_epoch, p_xact_id, p_created_at, p_event_id\)/g;
const BELOW_HORIZON =
  /and \(event_outbox\.epoch, event_outbox\.xact_id\) < \(\s*\(select max\(iu_outbox_epoch\.epoch\) from iu_outbox_epoch\),\s*coalesce\(p_ceiling, pg_snapshot_xmin\(pg_current_snapshot\(\)\)\)\)/g;
const HORIZON = /coalesce\(p_ceiling, pg_snapshot_xmin\(pg_current_snapshot\(\)\)\)/g;
const ROW_ORDER =
  /order by event_outbox\.epoch, event_outbox\.xact_id, event_outbox\.created_at, event_outbox\.id\n/g;
const FIRST = /order by claimed\.epoch, claimed\.xact_id, claimed\.created_at, claimed\.id\n/g;
const LAST =
  /order by claimed\.epoch desc, claimed\.xact_id desc, claimed\.created_at desc, claimed\.id desc\n/g;

/** Another keyset, and the order that belongs to it. */
function keyset(columns: readonly string[]): Edit[] {
  const list = (prefix: string, suffix = '') =>
    columns.map((column) => `${prefix}${column}${suffix}`).join(', ');
  const places = columns.map((column) => (column === 'id' ? 'p_event_id' : `p_${column}`)).join(', ');
  return [
    { replace: KEYSET, by: `(${list('event_outbox.')}) > (${places})`, times: 1 },
    { replace: ROW_ORDER, by: `order by ${list('event_outbox.')}\n`, times: 1 },
    { replace: FIRST, by: `order by ${list('claimed.')}\n`, times: 1 },
    { replace: LAST, by: `order by ${list('claimed.', ' desc')}\n`, times: 1 },
  ];
}

export const NAIVE: WrongCursor = {
  name: 'the naive predicate: time and id, no horizon',
  edits: [...keyset(['created_at', 'id']), { replace: BELOW_HORIZON, by: '', times: 1 }],
};

export const HORIZON_AS_A_FILTER: WrongCursor = {
  name: 'the horizon as a filter only, under a keyset that does not begin with it',
  edits: keyset(['created_at', 'id']),
};

/**
 * The rows are those of the statement's snapshot; the function, being volatile, takes a later one. What is between
 * both is wide enough here to be met in seconds.
 */
export const HORIZON_AFTER_THE_ROWS: WrongCursor = {
  name: 'the horizon read after the rows',
  needs: `
    create function chaos_horizon_afterwards() returns xid8 language plpgsql volatile as $$
    begin
      perform pg_sleep(0.02);
      return pg_snapshot_xmin(pg_current_snapshot());
    end
    $$`,
  edits: [{ replace: HORIZON, by: 'coalesce(p_ceiling, (select chaos_horizon_afterwards()))', times: 1 }],
};

/**
 * Puts a wrong cursor in the place of the right one.
 * @throws when the function's text is not the one that the edits were written for
 */
export async function installWrongCursor(
  client: pg.Client,
  { name, edits, needs }: WrongCursor,
): Promise<void> {
  const { rows } = await client.query<{ text: string }>(
    'select pg_get_functiondef(oid) as text from pg_proc where proname = $1',
    [CLAIMS],
  );
  const [found, ...others] = rows;
  if (found === undefined || others.length > 0)
    throw new Error(`${rows.length} functions are called ${CLAIMS}`);
  let text = found.text;
  for (const { replace, by, times } of edits) {
    const seen = text.match(replace)?.length ?? 0;
    if (seen !== times) throw new Error(`${name}: ${CLAIMS} has ${replace} ${seen} times, not ${times}`);
    text = text.replace(replace, () => by);
  }
  if (needs !== undefined) await client.query(needs);
  await client.query(text);
}
