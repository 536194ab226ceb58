import type { TargetAccess } from '../activities/dependencies.ts';
import { EXIT, type ExitCode, SluiceError } from '../contracts/error-codes.ts';
import { routeFault } from '../delivery/route-fault.ts';
import { controlOf } from './actor.ts';
import { confirm } from './ask.ts';
import { type Context, withContext } from './context.ts';
import type { ChangeOptions } from './options.ts';
import { actingAs } from './outbox-acting-as.ts';
import { printResult } from './print.ts';
import { stateText } from './route-list.ts';
import { isBuiltHere, withRouteTarget } from './route-registry.ts';
import { demandSeam, functionFault, keyOf } from './route-seam.ts';
import { type GivenRoute, withRoute } from './with-route.ts';

/** How long a look at a target may take, in milliseconds. */
export const INSPECT_MS = 30_000;

/** One thing that keeps a route from going live, and what puts it right. */
interface Obstacle {
  readonly what: string;
  readonly expected: string;
}

/**
 * `sluice route live CODE`: ends the dry run of a route that could deliver: enabled, every gate open, allowed, its kind
 * built here, nothing wrong with its target and config, and the target there. The database judges last, by its trigger.
 */
export function routeLive([code = '']: readonly string[], options: ChangeOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const dryRun = options.dryRun === true;
    const result = await withRoute(context, { doing: 'route live', code }, async (given) => {
      const { access, client, gates, route, look } = given;
      demandSeam(gates, access);
      const obstacles = await obstaclesOf(context, given);
      if (obstacles.length > 0) throw refusal(code, obstacles);
      const changes = route.dryRun;
      if (changes && !dryRun)
        await confirm(`Let route ${code} deliver to ${route.kind} ${route.target}?`, options);
      const control = await controlOf(options, context.env);
      if (changes && !dryRun) {
        await actingAs(
          given,
          control,
        )(() => client.query('update iu_outbound_route set dry_run = false where route_code = $1', [code]));
      }
      const now = dryRun ? route : (await look()).route;
      return { verb: 'live', code, changed: changes, dryRun, route: now, ...control };
    });
    printResult(context.output, result, () => {
      const { changed, route } = result;
      if (!changed) return `${code} is out of dry run already (${stateText(route)})`;
      return dryRun
        ? `${code} would go live: every condition is met`
        : `${code} is ${stateText(route)}; ${route.queued} deliveries are queued`;
    });
    return EXIT.done;
  });
}

async function obstaclesOf(context: Context, given: GivenRoute): Promise<readonly Obstacle[]> {
  const { access, gates, route } = given;
  const own: Obstacle[] = [];
  if (!route.enabled)
    own.push({ what: 'it is disabled', expected: `Enable it: sluice route enable ${route.code}.` });
  if (!gates.master)
    own.push({
      what: 'gate iu_core.outbound_enabled is closed',
      expected: 'Open it: sluice outbox enable --level L1.',
    });
  if (!gates.worker)
    own.push({
      what: 'gate iu_core.route_worker_enabled is closed',
      expected: 'Open it: sluice outbox enable --level L0.',
    });
  if (!gates.delivery)
    own.push({
      what: 'gate iu_core.delivery_enabled is closed',
      expected:
        'A macro opens it: delivery-live for one delivery, durable-live-route for a route that stays live.',
    });
  if (!route.allowed)
    own.push({
      what: 'iu_core.delivery_live_routes does not name it',
      expected: `Allow it: sluice route allow ${route.code}.`,
    });
  return [...own, ...(await obstaclesOfTarget(context, given, access))];
}

/** What its target says; a target that is wrong as it is written is not looked for. */
async function obstaclesOfTarget(
  context: Context,
  { client, gates, route, transact }: GivenRoute,
  access: TargetAccess,
): Promise<readonly Obstacle[]> {
  const correct = `Correct it: sluice route set ${route.code}.`;
  const written = routeFault(route.kind, route.target, route.config);
  if (written !== null) return [{ what: written, expected: correct }];
  if (route.kind === 'sql_function') {
    const fault = await transact('read only', () => functionFault(client, route.target));
    return fault === null ? [] : [{ what: fault, expected: 'The function is what the database asks for.' }];
  }
  if (!isBuiltHere(route.kind, access, gates))
    return [
      {
        what: `kind ${route.kind} is not built here`,
        expected: `Configure ${keyOf(route.kind, access)} in sluice.yaml, here and for the worker.`,
      },
    ];
  return withRouteTarget(context, { access, route }, async (target) => {
    const fault = target.fault(route.target, route.config);
    if (fault !== null) return [{ what: fault.replace(/\.$/, ''), expected: correct }];
    return inspected(target.inspect?.(route.target, route.config, AbortSignal.timeout(INSPECT_MS)));
  });
}

async function inspected(inspecting: Promise<void> | undefined): Promise<readonly Obstacle[]> {
  try {
    await inspecting;
    return [];
  } catch (error) {
    if (!(error instanceof SluiceError)) throw error;
    return [{ what: error.text.what.replace(/\.$/, ''), expected: error.text.expected }];
  }
}

function refusal(code: string, obstacles: readonly Obstacle[]): SluiceError {
  return new SluiceError('route_refused', {
    what: `Route ${code} cannot go live: ${obstacles.map(({ what }) => what).join('; ')}.`,
    expected: obstacles.map(({ expected }) => expected).join(' '),
    safe: 'Nothing was changed.',
  });
}
