import { cloudEventFault } from '../delivery/cloud-event.ts';
import type { DeliveryRequest } from '../delivery/delivery-request.ts';
import type { DeliveryTarget } from '../delivery/delivery-target.ts';
import { frozenDeliveryJson } from '../delivery/frozen-delivery-request.ts';
import { httpRouteConfig } from '../delivery/http-route-config.ts';
import { idempotencyKeyFault } from '../delivery/request-refusals.ts';
import { routeLimits } from '../delivery/route-limits.ts';
import { workflowFault } from '../delivery/workflow-fault.ts';

/**
 * Why no try can deliver a request, known without calling its target: what its kind refuses in the route, and, of a kind
 * that is never called to try it out, what it refuses in the request. Null where nothing is known to be wrong.
 */
export function knownFault(
  target: DeliveryTarget,
  request: DeliveryRequest,
  config: Readonly<Record<string, unknown>>,
): string | null {
  const fault = target.fault(request.targetRef, config);
  if (fault !== null) return fault;
  const { kind } = target;
  switch (kind) {
    case 'external_endpoint':
    case 'directus_flow': {
      const route = httpRouteConfig(kind, config);
      if (typeof route === 'string') return route;
      const wrong = kind === 'external_endpoint' ? cloudEventFault(request) : null;
      return (
        wrong ?? idempotencyKeyFault(request) ?? tooLarge('body', target.body?.(request), route.maxBodyBytes)
      );
    }
    case 'workflow': {
      const limits = routeLimits(kind, config);
      if (typeof limits === 'string') return limits;
      const wrong = workflowFault(request.targetRef, config);
      if (wrong !== null) return wrong;
      return tooLarge('argument', frozenDeliveryJson(request), limits.maxBodyBytes);
    }
    default:
      return null;
  }
}

function tooLarge(what: string, bytes: Buffer | undefined, allowed: number): string | null {
  if (bytes === undefined || bytes.length <= allowed) return null;
  return `The ${what} has ${bytes.length} bytes, and the route allows ${allowed}`;
}
