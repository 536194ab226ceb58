import { SluiceError } from '../contracts/error-codes.ts';
import type { DeliveryOutcome } from './delivery-outcome.ts';
import type { DeliveryRequest } from './delivery-request.ts';
import type { DeliveryTarget } from './delivery-target.ts';
import { endpointUrlFault } from './endpoint-url-fault.ts';
import type { HttpGuard } from './http/create-http-guard.ts';
import { type HttpRouteConfig, httpRouteConfig } from './http-route-config.ts';
import { jsonAround } from './json-around.ts';
import { postEvent } from './post-event.ts';
import { rememberedSecrets } from './remembered-secrets.ts';
import { idempotencyKeyFault, requestRefused, secretUnresolved } from './request-refusals.ts';

const KIND = 'directus_flow';
/** What the reference to the token is called in messages. */
const TOKEN = 'delivery.directus_flow.token';
/** As Directus writes it; it looks a flow up by the text of its id. */
const FLOW_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NO_FLOW_ID = 'target_ref is not the id of a flow, a uuid in lower case';

/**
 * Triggers a Directus flow that has a webhook trigger of method POST: `POST {baseUrl}/flows/trigger/{target_ref}`, the
 * token as Bearer. The flow finds the event in `$trigger.body`, with the idempotency key: one that must not act twice
 * has to look at it.
 *
 * Directus answers an asynchronous flow at once, with 204; a synchronous one when it is done, with 204 where its last
 * operation returned nothing. An answer that may come before the flow is done is recorded as accepted: `sent`, not
 * delivered. That is every answer of a route with `async: true`, none with `async: false`, and 204 of one that does
 * not say. A synchronous flow answers 2xx even where one of its operations was rejected; that shows in Directus only.
 */
export function directusFlowTarget(
  settings: { readonly baseUrl: string; readonly token: (() => Promise<string>) | null },
  parts: { readonly guard: HttpGuard },
): DeliveryTarget {
  const base = settings.baseUrl.replace(/\/+$/, '');
  const tokens = settings.token === null ? null : rememberedSecrets(settings.token, readToken);
  const token = async () => (tokens === null ? null : tokens.get(TOKEN));

  const fault = (targetRef: string, config: Readonly<Record<string, unknown>>): string | null => {
    const route = httpRouteConfig(KIND, config);
    if (typeof route === 'string') return `${route}.`;
    if (!FLOW_ID.test(targetRef)) return `${NO_FLOW_ID}.`;
    return endpointUrlFault(base, route.allowHttp);
  };

  /** Whether the token that was refused has been replaced since it was remembered, so that another try helps. */
  const isStale = async (refused: string): Promise<boolean> => {
    tokens?.forget(TOKEN);
    return (await token().catch(() => refused)) !== refused;
  };

  return {
    kind: KIND,
    isBuilt: true,
    fault,
    body: triggerBody,

    async deliver(request, attempt) {
      const route = httpRouteConfig(KIND, attempt.config);
      if (typeof route === 'string') return requestRefused(KIND, 'request_invalid', route);
      if (!FLOW_ID.test(request.targetRef)) return requestRefused(KIND, 'target_ref_malformed', NO_FLOW_ID);
      const wrong = idempotencyKeyFault(request);
      if (wrong !== null) return requestRefused(KIND, 'request_invalid', wrong);
      const bearer = await token().catch((error: unknown) => secretUnresolved(KIND, error));
      if (typeof bearer === 'object' && bearer !== null) return bearer;

      const outcome = await postEvent(parts.guard, {
        kind: KIND,
        url: `${base}/flows/trigger/${request.targetRef}`,
        headers: {
          'content-type': 'application/json',
          'idempotency-key': request.idempotencyKey,
          ...(bearer !== null && { authorization: `Bearer ${bearer}` }),
        },
        body: attempt.body ?? triggerBody(request),
        route,
        signal: attempt.signal,
        secrets: bearer === null ? [] : [bearer],
        detail: {},
      });
      if (outcome.status === 'sent') return withAcceptance(outcome, route);
      const isRefused = outcome.failure?.code === 'http_401' || outcome.failure?.code === 'http_403';
      return isRefused && bearer !== null && (await isStale(bearer)) ? mayRetry(outcome) : outcome;
    },

    async inspect(targetRef, config) {
      const wrong = fault(targetRef, config);
      if (wrong === null) return void (await token());
      throw new SluiceError('route_refused', {
        what: `The route cannot deliver: ${wrong}`,
        expected: 'The uuid of a flow as target_ref, an https `base_url` unless the route allows http.',
        safe: 'Nothing was sent.',
      });
    },
  };
}

/** What the flow sees as `$trigger.body`. */
function triggerBody({ routeCode, eventRef, idempotencyKey, event, safePayload }: DeliveryRequest): Buffer {
  const { domain, type, subject, subjectSeq, createdAt } = event;
  const body = {
    idempotency_key: idempotencyKey,
    route: routeCode,
    event: { id: eventRef, domain, type, subject, subject_seq: subjectSeq, created_at: createdAt },
  };
  return jsonAround(body, 'payload', safePayload);
}

function withAcceptance(outcome: DeliveryOutcome, { answersBeforeDone }: HttpRouteConfig): DeliveryOutcome {
  const accepted = answersBeforeDone ?? outcome.detail.http_status === 204;
  return accepted ? { ...outcome, delivered: false, detail: { ...outcome.detail, accepted } } : outcome;
}

function mayRetry(outcome: DeliveryOutcome): DeliveryOutcome {
  const { failure } = outcome;
  return failure === undefined ? outcome : { ...outcome, failure: { ...failure, mayRetry: true } };
}

/** @throws SluiceError `configuration_invalid`, which does not repeat the token */
function readToken(secret: string): string {
  if (/^[\x21-\x7e]{1,4096}$/.test(secret)) return secret;
  throw new SluiceError('configuration_invalid', {
    what: 'It is not of visible ASCII characters.',
    expected: 'A static token of Directus.',
    safe: 'Nothing was sent.',
  });
}
