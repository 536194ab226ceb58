import { SluiceError } from '../contracts/error-codes.ts';
import { cloudEvent, cloudEventFault } from './cloud-event.ts';
import type { DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import { endpointUrlFault } from './endpoint-url-fault.ts';
import type { HttpGuard } from './http/create-http-guard.ts';
import { type HttpRouteConfig, httpRouteConfig } from './http-route-config.ts';
import { postEvent } from './post-event.ts';
import { rememberedSecrets } from './remembered-secrets.ts';
import { idempotencyKeyFault, requestRefused, secretUnresolved } from './request-refusals.ts';
import { readSigningKey, signWebhook } from './sign-webhook.ts';

const KIND = 'external_endpoint';

/**
 * Posts a CloudEvents envelope to the URL that `target_ref` is, through the guard, with the headers of Standard
 * Webhooks. `webhook-id` is the idempotency key; every secret that `signing_secrets` names signs, so that a receiver
 * with the old and one with the new take it. A route that names none and does not say `unsigned: true` is at fault: it can
 * be neither set nor switched to live.
 */
export function externalEndpointTarget(
  settings: { readonly source: string },
  parts: {
    readonly guard: HttpGuard;
    /** A secret by its name in `delivery.secrets`. */
    readonly resolveSecretNamed: (name: string) => Promise<string>;
  },
): DeliveryTarget {
  const secrets = rememberedSecrets(parts.resolveSecretNamed, readSigningKey);
  const keysOf = async (route: HttpRouteConfig) => {
    const keys: Buffer[] = [];
    for (const name of route.signingSecrets) keys.push(await secrets.get(name));
    return keys;
  };
  const body = (request: DeliveryRequest) => cloudEvent(request, settings.source);

  return {
    kind: KIND,
    isBuilt: true,
    fault,
    body,

    async deliver(request, attempt) {
      const route = httpRouteConfig(KIND, attempt.config);
      if (typeof route === 'string') return requestRefused(KIND, 'request_invalid', route);
      const wrong = cloudEventFault(request) ?? idempotencyKeyFault(request);
      if (wrong !== null) return requestRefused(KIND, 'request_invalid', wrong);
      const keys = await keysOf(route).catch((error: unknown) => secretUnresolved(KIND, error));
      if (!Array.isArray(keys)) return keys;

      const webhook = {
        id: request.idempotencyKey,
        timestamp: Math.floor(Date.now() / 1_000),
        body: attempt.body ?? body(request),
      };
      return postEvent(parts.guard, {
        kind: KIND,
        url: request.targetRef,
        headers: {
          'content-type': 'application/cloudevents+json',
          'idempotency-key': webhook.id,
          'webhook-id': webhook.id,
          'webhook-timestamp': String(webhook.timestamp),
          ...(keys.length > 0 && { 'webhook-signature': signWebhook(webhook, keys) }),
        },
        body: webhook.body,
        route,
        signal: attempt.signal,
        secrets: [],
        detail: { webhook_id: webhook.id, signatures: keys.length },
      });
    },

    async inspect(targetRef, config) {
      const route = httpRouteConfig(KIND, config);
      const wrong = fault(targetRef, config);
      if (wrong === null && typeof route !== 'string') return void (await keysOf(route));
      throw new SluiceError('route_refused', {
        what: `The route cannot deliver: ${wrong}`,
        expected: 'A URL as target_ref, https unless the route allows http, and a config of known keys.',
        safe: 'Nothing was sent.',
      });
    },
  };
}

function fault(targetRef: string, config: Readonly<Record<string, unknown>>): string | null {
  const route = httpRouteConfig(KIND, config);
  if (typeof route === 'string') return `${route}.`;
  if (route.isUnsigned !== (route.signingSecrets.length === 0)) {
    return 'Name one or two signing_secrets, or say unsigned: true, and not both.';
  }
  return endpointUrlFault(targetRef, route.allowHttp);
}
