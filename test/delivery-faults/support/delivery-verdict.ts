import type pg from 'pg';
import { ask } from '../../sql-worker/support/worker.ts';
import type { Ledger } from './ledger.ts';

/** What became of every event of domain `test`, each of which is for the one route that is called like its type. */
export interface DeliveryVerdict {
  readonly events: number;
  /** Events whose newest attempt says that they were sent. */
  readonly sent: number;
  /** Events that ended as an open dead letter. */
  readonly dead: number;
  /** Events that were left out by intent: dry run, or taken back. */
  readonly leftOut: number;
  readonly queued: number;
  /** Events that ended in none of these ways. */
  readonly lost: number;
  /** Events recorded as sent of which no request arrived. */
  readonly invented: number;
  /** Events on which a receiver that knows keys acted more than once. */
  readonly effectsTwice: number;
  /** Keys under which different bytes arrived. */
  readonly changedBytes: number;
  /** Requests under a key that is none of an event of the outbox. */
  readonly strayRequests: number;
  readonly badSignatures: number;
  /** Events with more than one attempt `sent`, or with an attempt after it. */
  readonly sentTwice: number;
  /** Events whose attempts are not numbered 1, 2, … */
  readonly gaps: number;
  /** Requests of which no attempt tells: of tries whose worker was lost. */
  readonly unrecorded: number;
  readonly balanced: boolean;
}

interface Story {
  readonly id: string;
  readonly route: string;
  readonly attempts: readonly { readonly no: number; readonly status: string }[];
  readonly letter: string | null;
  readonly is_queued: boolean;
}

/** Holds what the database says against what the receivers saw. */
export async function deliveryVerdict(sql: pg.Client, ledgers: readonly Ledger[]): Promise<DeliveryVerdict> {
  const { rows: stories } = await sql.query<Story>(`
    select
      event_outbox.id,
      event_outbox.event_type as route,
      coalesce((
        select jsonb_agg(jsonb_build_object('no', attempt_no, 'status', status) order by attempt_no)
        from iu_route_attempt where iu_route_attempt.event_id = event_outbox.id
      ), '[]') as attempts,
      (select state from iu_route_dead_letter where iu_route_dead_letter.event_id = event_outbox.id) as letter,
      exists (select from iu_route_delivery where iu_route_delivery.event_id = event_outbox.id) as is_queued
    from event_outbox
    where event_outbox.event_domain = 'test'`);
  const entries = ledgers.flatMap((ledger) => ledger.entries);
  const requests = groupedBy(entries, ({ eventId }) => eventId);
  const counts = { sent: 0, dead: 0, leftOut: 0, queued: 0, lost: 0 };
  let [invented, effectsTwice, sentTwice, gaps, unrecorded, strays] = [0, 0, 0, 0, 0, 0];
  for (const { id, route, attempts, letter, is_queued } of stories) {
    const arrived = requests.get(id) ?? [];
    requests.delete(id);
    const sent = attempts.filter(({ status }) => status === 'sent');
    const last = attempts.at(-1)?.status;
    counts[endOf(last, letter, is_queued)] += 1;
    if (sent.length > 0 && arrived.length === 0) invented += 1;
    if (arrived.filter(({ hasEffect }) => hasEffect).length > 1) effectsTwice += 1;
    if (sent.length > 1 || (sent.length === 1 && last !== 'sent')) sentTwice += 1;
    if (attempts.some(({ no }, index) => no !== index + 1)) gaps += 1;
    const tried = attempts.filter(({ status }) => status === 'sent' || status === 'failed').length;
    unrecorded += Math.max(0, arrived.length - tried);
    strays += arrived.filter((entry) => entry.key !== `${id}:${route}` || entry.route !== route).length;
  }
  for (const left of requests.values()) strays += left.length;
  const bytes = groupedBy(entries, ({ key }) => key);
  return {
    events: stories.length,
    ...counts,
    invented,
    effectsTwice,
    changedBytes: [...bytes.values()].filter(
      (same) => new Set(same.map(({ bodySha256 }) => bodySha256)).size > 1,
    ).length,
    strayRequests: strays,
    badSignatures: entries.filter(({ signature }) => signature !== 'valid').length,
    sentTwice,
    gaps,
    unrecorded,
    balanced: await ask<boolean>(sql, `select (fn_iu_conservation() ->> 'balanced')::boolean as answer`),
  };
}

function groupedBy<Item>(items: readonly Item[], keyOf: (item: Item) => string): Map<string, Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

function endOf(
  last: string | undefined,
  letter: string | null,
  isQueued: boolean,
): 'sent' | 'dead' | 'leftOut' | 'queued' | 'lost' {
  if (isQueued) return 'queued';
  if (last === 'sent') return 'sent';
  if (last === 'dry_run' || last === 'skipped') return 'leftOut';
  return last === 'failed' && letter === 'open' ? 'dead' : 'lost';
}

/** What speaks against a run, one sentence each; nothing when every promise was kept. */
export function deliveryFailures(verdict: DeliveryVerdict): string[] {
  const counts = {
    'events were lost': verdict.lost,
    'events are still queued': verdict.queued,
    'events are recorded as sent that nobody received': verdict.invented,
    'events took effect twice': verdict.effectsTwice,
    'keys were sent with different bytes': verdict.changedBytes,
    'requests have a key of no event': verdict.strayRequests,
    'requests have no valid signature': verdict.badSignatures,
    'events have more than one end': verdict.sentTwice,
    'events have a gap in their attempts': verdict.gaps,
  };
  return [
    ...Object.entries(counts)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${count} ${what}`),
    ...(verdict.balanced ? [] : ['fn_iu_conservation() is not balanced']),
  ];
}
