import type { DeliveryConfig } from '../config/delivery-config.ts';
import { SluiceError } from '../contracts/error-codes.ts';
import { configuredKinds } from '../delivery/build-registry.ts';
import { DeliveryNotImplemented } from '../delivery/delivery-not-implemented.ts';
import { type DeliveryRegistry, resolveDeliveryTarget } from '../delivery/delivery-registry.ts';
import { readDeliveryRequest } from '../delivery/delivery-request.ts';
import { knownFault } from './try-out-known-fault.ts';
import { reason, type Sample, type TriedSample, untried } from './try-out-sample.ts';
import { sayStanding } from './try-out-standing.ts';

/** In these nothing is delivered to the target; a closed gate, on the other hand, keeps nobody from trying. */
const NOT_DELIVERED = new Set(['dry_run', 'route_removed', 'route_disabled']);

/** Why a kind without a try-out is left alone. */
const NEVER_CALLED: Readonly<Record<string, string>> = {
  external_endpoint: 'an external endpoint is never called',
  directus_flow: 'a flow is never triggered',
  workflow: 'a workflow is never started',
};

/** What a try-out does not reach, by kind: where it is what failed, nobody knows whether it still does. */
const BEYOND_A_TRY_OUT: Readonly<
  Record<string, { readonly failures: RegExp; readonly because: string } | undefined>
> = {
  vector: {
    failures:
      /^(?:http_|address_|dns_|connect_|connection_|tls_|answer_|response_|dimensions_differ$|timeout$)/,
    because: 'what failed may be the embedding endpoint, which is never called',
  },
  report: {
    failures: /^disk_full$/,
    because: 'whether there is room on the disk shows only when it is written',
  },
};

/**
 * Tries a letter out whose target lies outside the database, as far as its kind can be tried without an effect, and what
 * is wrong with any of them without calling it. Never throws.
 *
 * @param options `failureCode`: what the letter failed with; `delivery`: what the worker delivers with
 */
export async function tryOutAtTarget(
  registry: DeliveryRegistry,
  sample: Sample,
  {
    delivery,
    failureCode,
    timeoutMs,
  }: {
    readonly delivery: DeliveryConfig;
    readonly failureCode: string;
    readonly timeoutMs: number;
  },
): Promise<TriedSample> {
  const { target_kind: kind, mode, request: frozen, payload } = sample;
  if (kind === null || NOT_DELIVERED.has(mode)) return untried(sayStanding(mode));
  const config = sample.config ?? {};
  try {
    const target = resolveDeliveryTarget(registry, kind);
    // A kind that is never called needs no connection here: then its target may be unbuilt, and the worker's is not.
    const isBuilt = target.isBuilt || configuredKinds(delivery).includes(target.kind);
    if (!isBuilt) return stillFailing(new DeliveryNotImplemented(target.kind).text.what);
    const request = readDeliveryRequest(frozen, payload ?? 'null');
    const fault = knownFault(target, request, config);
    if (fault !== null) return stillFailing(fault);
    if (target.tryOut === undefined)
      return untried(NEVER_CALLED[kind] ?? 'a target of its kind is never called');
    const signal = AbortSignal.timeout(timeoutMs);
    const { verdict, because } = await target.tryOut(request, { config, signal });
    const beyond = BEYOND_A_TRY_OUT[kind];
    if (verdict === 'fixed' && beyond?.failures.test(failureCode) === true) {
      return { verdict: 'unknown', because: beyond.because, isTried: true };
    }
    return { verdict, because: because === null ? null : reason(because), isTried: true };
  } catch (error) {
    if (error instanceof SluiceError) return stillFailing(error.text.what);
    // What other errors say may quote an address with a secret in it.
    const name = error instanceof Error ? error.name : typeof error;
    return { verdict: 'unknown', because: `trying it out raised ${name}`, isTried: true };
  }
}

function stillFailing(because: string): TriedSample {
  return { verdict: 'still_failing', because: reason(because), isTried: true };
}
