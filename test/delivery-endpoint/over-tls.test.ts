import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { describe, expect, onTestFinished, test } from 'vitest';
import { externalEndpointTarget } from '../../delivery/external-endpoint-target.ts';
import { type CertificateOptions, makeCertificate } from '../delivery-http/support/make-certificate.ts';
import { deliver, EVENT_ID, localGuard, requestOf, secretsNamed } from './support/deliveries.ts';
import { only, type Received, recording } from './support/receiver.ts';

const SECRET = `whsec_${Buffer.alloc(32, 's').toString('base64')}`;
const DAY_MS = 86_400_000;

/** An https server with a certificate of a private authority, and that authority's certificate. */
async function secureReceiver(certificate: Partial<CertificateOptions> = {}) {
  const authority = makeCertificate({ name: 'Private authority' });
  const options = { name: 'partner', hosts: ['127.0.0.1'], issuer: authority, ...certificate };
  const received: Received[] = [];
  const { cert, key } = makeCertificate(options);
  const server = createServer(
    { cert, key },
    recording(received, () => ({ status: 202 })),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    return new Promise<void>((resolve) => server.close(() => resolve()));
  });
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  return { url, received, ca: authority.cert };
}

const targetTrusting = (ca?: string) =>
  externalEndpointTarget(
    { source: 'https://iu.example' },
    { guard: localGuard(ca), resolveSecretNamed: secretsNamed({ partner: SECRET }) },
  );

describe('over TLS', () => {
  test('a receiver whose authority is trusted gets a signed event, by a route that allows no http', async () => {
    const { url, received, ca } = await secureReceiver();
    const config = { signing_secrets: ['partner'] };
    const outcome = await deliver(targetTrusting(ca), requestOf({ targetRef: url }), config);
    expect(outcome).toMatchObject({ status: 'sent', delivered: true, detail: { http_status: 202 } });
    const { body, headers } = only(received);
    const verified = new Webhook(SECRET).verify(body, { ...headers } as Record<string, string>);
    expect(verified).toMatchObject({ id: EVENT_ID });
  });

  test.each([
    [
      'has expired',
      { notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) },
      true,
    ],
    ['is for another host', { hosts: ['partner.example'] }, true],
    ['is of an authority that nobody trusts', {}, false],
  ])(
    'nothing is sent to one whose certificate %s, and it is tried again',
    async (_, certificate, trusted) => {
      const { url, received, ca } = await secureReceiver(certificate);
      const { failure } = await deliver(
        targetTrusting(trusted ? ca : undefined),
        requestOf({ targetRef: url }),
        {},
      );
      expect(failure).toMatchObject({ code: 'tls_failed', mayRetry: true });
      expect(received).toEqual([]);
    },
  );
});
