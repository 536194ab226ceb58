import type pg from 'pg';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import { withIuCore } from './iu-core.ts';
import type { ChangeOptions } from './options.ts';
import { actingAs } from './outbox-acting-as.ts';
import { printResult } from './print.ts';
import {
  type DeliveryGates,
  namesOf,
  type Route,
  readGates,
  readRoutes,
  routeNotFound,
} from './route-read.ts';
import { demandSeam } from './route-seam.ts';

type AllowOptions = ChangeOptions & { readonly remove?: boolean };

const ROUTES = 'iu_core.delivery_live_routes';
const FUNCTIONS = 'iu_core.delivery_functions';

/** One list of `dot_config` that changes. */
interface ListChange {
  readonly list: typeof ROUTES | typeof FUNCTIONS;
  readonly name: string;
}

/**
 * `sluice route allow CODE [--remove]`: names the route in the list of routes that may be live, and the function that a
 * `sql_function` route calls in the list of functions; `--remove` takes both off, the function unless another allowed
 * route calls it.
 */
export function routeAllow([code = '']: readonly string[], options: AllowOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const remove = options.remove === true;
    const dryRun = options.dryRun === true;
    const result = await withIuCore(context, 'route allow', async (given) => {
      const { client, target, transact } = given;
      const read = async () => {
        const gates = await readGates(client);
        demandSeam(gates, target);
        const routes = await readRoutes(client, gates);
        const route = routes.find((one) => one.code === code) ?? null;
        // A route that was deleted may still be on the list.
        if (route === null && !(remove && gates.liveRoutes.includes(code)))
          throw await routeNotFound(client, code);
        return { route, gates, plan: planOf(code, { remove, gates, route, routes }) };
      };
      const before = await transact('read only', read);
      if (!dryRun && !remove && before.plan.length > 0)
        await confirm(`Allow live delivery: ${planText(before.plan, remove)}?`, options);
      const control = await controlOf(options, context.env);
      const done = dryRun
        ? before
        : await actingAs(
            given,
            control,
          )(async () => {
            await client.query('select from dot_config where key = any ($1) order by key for update', [
              [ROUTES, FUNCTIONS],
            ]);
            const now = await read();
            for (const change of now.plan) await changeList(client, change, remove);
            return { ...now, gates: await readGates(client) };
          });
      return {
        verb: remove ? 'remove' : 'allow',
        code,
        dryRun,
        changes: done.plan,
        liveRoutes: done.gates.liveRoutes,
        functions: done.gates.functions,
        notes: notes(done.route, remove),
        ...control,
      };
    });
    printResult(context.output, result, () =>
      [
        result.changes.length === 0
          ? `${code} is ${remove ? 'not allowed' : 'allowed'} already`
          : `${dryRun ? 'would change' : 'changed'}: ${planText(result.changes, remove)}`,
        ...result.notes.map((line) => `  ${line}`),
      ].join('\n'),
    );
    return EXIT.done;
  });
}

function planOf(
  code: string,
  {
    remove,
    gates,
    route,
    routes,
  }: { remove: boolean; gates: DeliveryGates; route: Route | null; routes: readonly Route[] },
): readonly ListChange[] {
  const called = route?.kind === 'sql_function' ? route.target : null;
  const isCalledByOthers = routes.some(
    (other) =>
      other.code !== code && other.allowed && other.kind === 'sql_function' && other.target === called,
  );
  const plan: ListChange[] = [];
  if (gates.liveRoutes.includes(code) === remove) plan.push({ list: ROUTES, name: code });
  if (called !== null && gates.functions.includes(called) === remove && !(remove && isCalledByOthers))
    plan.push({ list: FUNCTIONS, name: called });
  return plan;
}

/** Kept sorted, each name once. */
async function changeList(client: pg.Client, { list, name }: ListChange, remove: boolean): Promise<void> {
  const { rows } = await client.query<{ value: string | null }>(
    'select value from dot_config where key = $1',
    [list],
  );
  const names = new Set(namesOf(rows[0]?.value));
  if (remove) names.delete(name);
  else names.add(name);
  await client.query(
    `insert into dot_config (key, value)
     values ($1, $2)
     on conflict (key) do update
     set value = excluded.value`,
    [list, [...names].sort().join(',')],
  );
}

function planText(changes: readonly ListChange[], remove: boolean): string {
  return changes.map(({ list, name }) => (remove ? `${name} off ${list}` : `${name} on ${list}`)).join(', ');
}

function notes(route: Route | null, remove: boolean): readonly string[] {
  if (route === null) return ['the route itself is gone'];
  if (!remove) return route.dryRun ? [`it stays in dry run until sluice route live ${route.code}`] : [];
  if (route.dryRun || !route.enabled) return [];
  return [
    `it is live: its events are blocked from now on and ${route.queued} queued deliveries wait; sluice outbox release decides the blocked ones again`,
  ];
}
