import type { Client } from '@temporalio/client';
import type { DeliveryConfig } from '../config/delivery-config.ts';
import { resolveSecret } from '../config/resolve-secret.ts';
import { resolveSecretUrl } from '../config/resolve-target-url.ts';
import type { SecretRef } from '../config/secret-ref.ts';
import { type DeliveryRegistry, deliveryRegistry } from './delivery-registry.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import { DELIVERY_TARGET_KINDS, type DeliveryTargetKind } from './delivery-target-kind.ts';
import { directusFlowTarget } from './directus-flow-target.ts';
import { externalEndpointTarget } from './external-endpoint-target.ts';
import { createHttpGuard, type HttpGuard } from './http/create-http-guard.ts';
import { namedSecrets } from './named-secrets.ts';
import { rememberedSecrets } from './remembered-secrets.ts';
import { reportTarget } from './report-target.ts';
import { vectorTarget } from './vector-target.ts';
import { workflowTarget } from './workflow-target.ts';

export interface RegistryParts {
  /** Where workflows are started; null leaves their kind unbuilt. */
  readonly temporal: Client | null;
  /** Where secrets by variable are looked up. */
  readonly env: NodeJS.ProcessEnv;
}

/** The kinds that a configuration builds a target for; a function of the database needs none. */
export function configuredKinds(config: DeliveryConfig): readonly DeliveryTargetKind[] {
  const { externalEndpoint, directusFlow, workflow, report, vector } = config;
  const settings = {
    workflow,
    vector,
    report,
    directus_flow: directusFlow,
    external_endpoint: externalEndpoint,
  } as const satisfies Partial<Record<DeliveryTargetKind, unknown>>;
  return DELIVERY_TARGET_KINDS.filter((kind) => kind !== 'sql_function' && settings[kind] !== null);
}

const guards = new WeakMap<DeliveryRegistry, HttpGuard>();

/**
 * A target for every kind that is configured; the others stay unbuilt. Nothing is connected to and no secret is resolved
 * before a delivery needs it. All that leaves the machine by HTTP passes one guard. To be closed by {@link closeRegistry}.
 *
 * @throws SluiceError `configuration_invalid` for a range of addresses that is none
 */
export function buildRegistry(config: DeliveryConfig, { temporal, env }: RegistryParts): DeliveryRegistry {
  const guard = createHttpGuard({
    allowCidrs: config.allowCidrs,
    connections: config.concurrency,
  });
  const resolve = (ref: SecretRef) => () => resolveSecret(ref, env);
  const { externalEndpoint, directusFlow, workflow, report, vector } = config;
  const built: readonly (DeliveryTarget | null)[] = [
    externalEndpoint &&
      externalEndpointTarget(externalEndpoint, {
        guard,
        resolveSecretNamed: namedSecrets(config.secrets, env),
      }),
    directusFlow &&
      directusFlowTarget(
        { baseUrl: directusFlow.baseUrl, token: directusFlow.token && resolve(directusFlow.token) },
        { guard },
      ),
    report && reportTarget(report),
    workflow && temporal && workflowTarget({ client: temporal }),
    vector && vectorOf(vector, guard, env),
  ];
  const registry = deliveryRegistry(built.filter((target) => target !== null));
  guards.set(registry, guard);
  return registry;
}

function vectorOf(
  { url, embedding }: NonNullable<DeliveryConfig['vector']>,
  guard: HttpGuard,
  env: NodeJS.ProcessEnv,
): DeliveryTarget {
  const { apiKey } = embedding;
  return vectorTarget({
    url:
      url.kind === 'plain'
        ? async () => url.url
        : remembered('delivery.vector.url', () => resolveSecretUrl(url, env)),
    embedding: {
      ...embedding,
      apiKey: apiKey && remembered('delivery.vector.embedding.api_key', () => resolveSecret(apiKey, env)),
    },
    guard,
  });
}

/** What gives a secret whenever it is used, and asks for it once a minute; `name` is what messages call it. */
function remembered(name: string, resolve: () => Promise<string>): () => Promise<string> {
  const secrets = rememberedSecrets(resolve, (secret) => secret);
  return () => secrets.get(name);
}

/** Waits for what is in flight and lets go of every connection; the registry is of no use afterwards. */
export async function closeRegistry(registry: DeliveryRegistry): Promise<void> {
  const targets = [...registry.values()];
  const closed = await Promise.allSettled([
    ...targets.map((target) => target.close?.()),
    guards.get(registry)?.close(),
  ]);
  guards.delete(registry);
  const failures = closed.flatMap((end) => (end.status === 'rejected' ? [end.reason] : []));
  if (failures.length > 0) throw new AggregateError(failures, 'a delivery target could not be closed');
}
