import { onTestFinished } from 'vitest';
import type { DeliveryOutcome } from '../../../delivery/delivery-outcome.ts';
import { checkDeliveryOutcome } from '../../../delivery/delivery-outcome.ts';
import { checkDeliveryRequest, type DeliveryRequest } from '../../../delivery/delivery-request.ts';
import type { DeliveryTarget } from '../../../delivery/delivery-target.ts';
import { createHttpGuard, type HttpGuard } from '../../../delivery/http/create-http-guard.ts';

export const EVENT_ID = '01938c5e-7c1a-7cc3-98c4-dc0c0c07398f';
export const FLOW_ID = '2fab3b9d-0543-4b87-8a30-3c5ee66fedf1';

export const PAYLOAD = { unit: 'IU-7', version: 3, title: 'Łódź “draft” 🙂' };

/** A delivery of an ordinary event, with what a test says otherwise. */
export function requestOf(
  change: Partial<Omit<DeliveryRequest, 'event'>> & { readonly event?: Partial<DeliveryRequest['event']> },
): DeliveryRequest {
  return {
    routeCode: 'partner',
    eventRef: EVENT_ID,
    targetKind: 'external_endpoint',
    targetRef: 'https://partner.example/hook',
    idempotencyKey: `${EVENT_ID}:partner`,
    safePayload: JSON.stringify(PAYLOAD),
    ...change,
    event: {
      domain: 'iu',
      type: 'version_applied',
      subject: 'iu/IU-7',
      subjectSeq: '42',
      createdAt: '2026-01-02T03:04:05.678901Z',
      ...change.event,
    },
  };
}

/** The guard as it is, with the loopback of this machine let through. */
export function localGuard(ca?: string): HttpGuard {
  const guard = createHttpGuard({ allowCidrs: ['127.0.0.0/8', '::1/128'], ...(ca !== undefined && { ca }) });
  onTestFinished(() => guard.close());
  return guard;
}

/** One try, its request and outcome held against the seam's rules. */
export async function deliver(
  target: DeliveryTarget,
  request: DeliveryRequest,
  config: Readonly<Record<string, unknown>> = { allow_http: true },
): Promise<DeliveryOutcome> {
  const body = target.body?.(checkDeliveryRequest(request));
  const attempt = { signal: AbortSignal.timeout(60_000), config, ...(body !== undefined && { body }) };
  return checkDeliveryOutcome(await target.deliver(request, attempt));
}

/** Resolves the names that are given; any other is unknown. */
export function secretsNamed(known: Readonly<Record<string, string>>): (name: string) => Promise<string> {
  return async (name) => known[name] ?? Promise.reject(new Error(`unknown among ${Object.values(known)}`));
}
