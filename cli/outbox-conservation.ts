import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { textTable } from './text-table.ts';

/** What one worker has decided first about the events up to its cursor, for one route. */
export interface RouteProof {
  readonly worker: string;
  /** Null: events that no route matched, or a worker that has decided nothing. */
  readonly route: string | null;
  /** Events up to the worker's cursor, whatever their route; null where it has no cursor any more. */
  readonly eventsUpToCursor: number | null;
  /** First decisions by kind: dry_run, sent, failed, skipped, blocked, no_route. */
  readonly firstDecisions: Readonly<Record<string, number>>;
  readonly queued: number;
  /** Events kept back until their predecessor of the same subject is over. */
  readonly held: number;
}

/** One way in which the books do not balance. */
export interface Gap {
  readonly kind: string;
  /** Null where it belongs to no one worker. */
  readonly worker: string | null;
  readonly count: number;
  /** The first of them. */
  readonly ids: readonly string[];
}

export interface Conservation {
  readonly balanced: boolean;
  readonly routes: readonly RouteProof[];
  readonly gaps: readonly Gap[];
}

type Counted = Readonly<Record<string, unknown>>;

/** What `fn_iu_conservation` answers, as far as it is read here; every list of ids in it is a kind of gap. */
export interface ConservationAnswer extends Counted {
  readonly balanced: boolean;
  readonly cursors: readonly Counted[];
  readonly first_decisions: readonly Counted[];
}

/** `sluice outbox conservation`: ends with 5 where something is unaccounted for. */
export function outboxConservation(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const answer = await withIuCore(context, 'outbox conservation', ({ client, transact }) =>
      transact('read only', async () => {
        const found = await client.query<{ proof: ConservationAnswer }>(
          'select fn_iu_conservation() as proof',
        );
        return found.rows[0]?.proof;
      }),
    );
    if (answer === undefined) throw new Error('fn_iu_conservation returned no row');
    const proof = conservationOf(answer);
    printResult(context.output, proof, () => conservationText(proof));
    return proof.balanced ? EXIT.done : EXIT.needsAction;
  });
}

/** The proof in the words of the command line. */
export function conservationOf(answer: ConservationAnswer): Conservation {
  const upTo = new Map(
    answer.cursors.map((cursor) => [String(cursor.cursor_code), Number(cursor.events_up_to_cursor)]),
  );
  const routes = new Map<string, RouteProof>();
  const routeOf = (row: Counted): RouteProof => {
    const worker = String(row.worker_code);
    const route = typeof row.route_code === 'string' ? row.route_code : null;
    const key = `${worker} ${route ?? '-'}`;
    const known = routes.get(key);
    if (known !== undefined) return known;
    const eventsUpToCursor = upTo.get(worker) ?? null;
    const fresh = { worker, route, eventsUpToCursor, firstDecisions: {}, queued: 0, held: 0 };
    routes.set(key, fresh);
    return fresh;
  };
  const put = (row: Counted, change: (route: RouteProof) => Partial<RouteProof>) => {
    const before = routeOf(row);
    routes.set(`${before.worker} ${before.route ?? '-'}`, { ...before, ...change(before) });
  };
  for (const row of answer.first_decisions) {
    put(row, ({ firstDecisions }) => ({
      firstDecisions: { ...firstDecisions, [String(row.decision)]: Number(row.attempts) },
    }));
  }
  for (const row of countedRows(answer.queued_deliveries))
    put(row, ({ queued }) => ({ queued: queued + eventsOf(row) }));
  for (const row of countedRows(answer.held)) put(row, ({ held }) => ({ held: held + eventsOf(row) }));
  const workers = new Set([...routes.values()].map(({ worker }) => worker));
  for (const worker of upTo.keys()) if (!workers.has(worker)) routeOf({ worker_code: worker });
  return { balanced: answer.balanced, routes: [...routes.values()], gaps: gapsOf(answer) };
}

function gapsOf(answer: ConservationAnswer): Gap[] {
  const ofWorkers = answer.cursors.flatMap((cursor) =>
    idLists(cursor).map(({ kind, ids }) => ({
      kind,
      worker: String(cursor.cursor_code),
      count:
        kind === 'events_without_attempt'
          ? Number(cursor.events_up_to_cursor) - Number(cursor.events_decided)
          : countOf(cursor, kind, ids),
      ids,
    })),
  );
  const others = idLists(answer).map(({ kind, ids }) => ({
    kind,
    worker: null,
    count: countOf(answer, kind, ids),
    ids,
  }));
  return [...ofWorkers, ...others];
}

function idLists(row: Counted): { readonly kind: string; readonly ids: readonly string[] }[] {
  return Object.entries(row).flatMap(([kind, ids]) =>
    Array.isArray(ids) && ids.length > 0 && ids.every((id) => typeof id === 'string') ? [{ kind, ids }] : [],
  );
}

/** The lists are cut; a number beside one tells how long it was. */
function countOf(row: Counted, kind: string, ids: readonly string[]): number {
  return Math.max(Number(row[`${kind}_count`] ?? 0), ids.length);
}

function countedRows(value: unknown): readonly Counted[] {
  return Array.isArray(value) ? value.filter((row) => typeof row === 'object' && row !== null) : [];
}

function eventsOf(row: Counted): number {
  return Number(row.events ?? row.count ?? 0);
}

function conservationText({ balanced, routes, gaps }: Conservation): string {
  const decisions = [...new Set(routes.flatMap((route) => Object.keys(route.firstDecisions)))];
  const table = textTable(
    ['worker', 'route', 'events up to cursor', ...decisions, 'queued', 'held'],
    routes.map((route) => [
      route.worker,
      route.route ?? '-',
      route.eventsUpToCursor ?? '-',
      ...decisions.map((decision) => route.firstDecisions[decision] ?? 0),
      route.queued,
      route.held,
    ]),
  );
  const lines = gaps.map(
    ({ kind, worker, count, ids }) =>
      `${kind.replaceAll('_', ' ')}${worker === null ? '' : ` (${worker})`}: ${count}, ${count > ids.length ? 'the first ' : ''}${ids.join(' ')}`,
  );
  return [balanced ? 'balanced: nothing is unaccounted for' : 'not balanced', table, ...lines].join('\n');
}
