import type { TargetAccess } from '../activities/dependencies.ts';
import { buildRegistry, closeRegistry, configuredKinds } from '../delivery/build-registry.ts';
import { type DeliveryRegistry, resolveDeliveryTarget } from '../delivery/delivery-registry.ts';
import type { DeliveryTarget } from '../delivery/delivery-target.ts';
import type { Context } from './context.ts';
import type { DeliveryGates, Route } from './route-read.ts';

/**
 * Builds the target of a route as the worker of this configuration would, and lets go of it afterwards. Temporal is
 * connected to only for a route that starts workflows. The kind must be built here.
 */
export async function withRouteTarget<T>(
  context: Context,
  { access, route }: { readonly access: TargetAccess; readonly route: Route },
  work: (target: DeliveryTarget) => Promise<T>,
): Promise<T> {
  const temporal = route.kind === 'workflow' ? (await context.temporal()).client : null;
  const registry: DeliveryRegistry = buildRegistry(access.delivery, { temporal, env: context.env });
  try {
    return await work(resolveDeliveryTarget(registry, route.kind));
  } finally {
    await closeRegistry(registry);
  }
}

/** Whether a worker of this configuration delivers to the kind of the route; nothing is connected to. */
export function isBuiltHere(kind: string, { delivery }: TargetAccess, gates: DeliveryGates): boolean {
  return kind === 'sql_function'
    ? gates.seamIsBuilt
    : configuredKinds(delivery).some((configured) => configured === kind);
}

/** What the route's target as it is configured here says about the route as it is written; nothing is connected to. */
export async function configuredFault(
  { kind, target, config }: Route,
  { delivery }: TargetAccess,
  env: NodeJS.ProcessEnv,
): Promise<string | null> {
  const registry = buildRegistry(delivery, { temporal: null, env });
  try {
    const fault = resolveDeliveryTarget(registry, kind).fault(target, config);
    return fault?.replace(/\.$/, '') ?? null;
  } finally {
    await closeRegistry(registry);
  }
}
