import type { SeededRandom } from './seeded-random.ts';

/** An event before it is emitted. */
export interface DraftEvent {
  readonly kind: EventKind;
  readonly subject: string;
  readonly payload: { readonly taken: boolean; readonly amount: number };
}

export type EventKind = 'plain' | 'filtered' | 'twofold' | 'unrouted' | 'step' | 'leap';

/** Stands for no route in what the oracle expects. */
export const NO_ROUTE = '-';
/** All of them number the same subjects; the second takes a part of what the first takes. */
export const ORDERED_ROUTES = ['chaos_in_order', 'chaos_large_in_order', 'chaos_leaps_in_order'] as const;
/** Takes what the first of the ordered routes takes, as the cursor comes to it. */
export const UNORDERED_ROUTE = 'chaos_as_read';

const [IN_ORDER, LARGE_IN_ORDER, LEAPS_IN_ORDER] = ORDERED_ROUTES;

/** A kind that one route takes, one that a filter divides, one for two, one for none, two whose subjects have an order. */
export const ROUTES_SQL = `
  insert into iu_outbound_route (
    route_code, event_domain, event_type, event_filter, target_kind, target_ref, enabled, dry_run, ordered_by_subject)
  values
    ('chaos_plain', 'chaos', 'plain', null, 'workflow', 'chaos', true, true, false),
    ('chaos_taken', 'chaos', 'filtered', '$.taken', 'workflow', 'chaos', true, true, false),
    ('chaos_first', 'chaos', 'twofold', null, 'report', 'chaos', true, true, false),
    ('chaos_large', 'chaos', 'twofold', '$.amount ? (@ >= 500)', 'report', 'chaos', true, true, false),
    ('chaos_switched_off', 'chaos', 'unrouted', null, 'report', 'chaos', false, true, false),
    ('${IN_ORDER}', 'chaos', 'step', null, 'report', 'chaos', true, true, true),
    ('${LARGE_IN_ORDER}', 'chaos', 'step', '$.amount ? (@ >= 500)', 'report', 'chaos', true, true, true),
    ('${LEAPS_IN_ORDER}', 'chaos', 'leap', null, 'report', 'chaos', true, true, true),
    ('${UNORDERED_ROUTE}', 'chaos', 'step', null, 'report', 'chaos', true, true, false)`;

/** Which routes an event goes to, said here once more and not asked of the database. */
export function routesOf({ kind, payload }: DraftEvent): readonly string[] {
  switch (kind) {
    case 'plain':
      return ['chaos_plain'];
    case 'filtered':
      return payload.taken ? ['chaos_taken'] : [NO_ROUTE];
    case 'twofold':
      return payload.amount >= 500 ? ['chaos_first', 'chaos_large'] : ['chaos_first'];
    case 'unrouted':
      return [NO_ROUTE];
    case 'step':
      return payload.amount >= 500
        ? [IN_ORDER, LARGE_IN_ORDER, UNORDERED_ROUTE]
        : [IN_ORDER, UNORDERED_ROUTE];
    case 'leap':
      return [LEAPS_IN_ORDER];
  }
}

/** As often as they occur. */
const KINDS: readonly [EventKind, ...EventKind[]] = [
  'plain',
  'plain',
  'plain',
  'plain',
  'plain',
  'filtered',
  'filtered',
  'twofold',
  'unrouted',
  'step',
  'step',
  'leap',
];

const SUBJECTS = 300;

/**
 * Events of one transaction. Those with an order are about few subjects, as in life: their producer holds each
 * subject until its transaction ends.
 */
export function draftEvents(random: SeededRandom, count: number): DraftEvent[] {
  const held: [string, ...string[]] = [subject(random)];
  while (random.chance(0.5) && held.length < 3) held.push(subject(random));
  return Array.from({ length: count }, () => {
    const kind = random.pick(KINDS);
    const isOrdered = kind === 'step' || kind === 'leap';
    return {
      kind,
      subject: isOrdered ? random.pick(held) : subject(random),
      payload: { taken: random.chance(0.5), amount: random.int(0, 999) },
    };
  });
}

/** Some subjects are busier than others. */
function subject(random: SeededRandom): string {
  return `subject-${random.int(1, random.int(1, SUBJECTS))}`;
}
