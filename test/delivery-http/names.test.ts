import type { LookupAddress } from 'node:dns';
import { expect, it } from 'vitest';
import { addressRanges } from '../../delivery/http/address-ranges.ts';
import { guardedConnector } from '../../delivery/http/guarded-connector.ts';
import { aPost, faultOf, startGuard } from './support/start-guard.ts';
import { startReceiver } from './support/start-receiver.ts';

function v4(...addresses: string[]): LookupAddress[] {
  return addresses.map((address) => ({ address, family: 4 }));
}

/** A resolver that gives its answers one after the other, the last for ever, and counts. */
function resolver(...answers: LookupAddress[][]) {
  const asked: string[] = [];
  const resolveName = async (hostname: string): Promise<LookupAddress[]> => {
    asked.push(hostname);
    return answers[Math.min(asked.length, answers.length) - 1] ?? [];
  };
  return { asked, resolveName };
}

it('a name is resolved once for a connection, and the connection goes to the address that was checked', async () => {
  const receiver = await startReceiver();
  const { asked, resolveName } = resolver(v4('127.0.0.2'), v4('127.0.0.1'));
  const guard = startGuard({ allowCidrs: ['127.0.0.2/32'], resolveName });
  const url = `http://partner.example:${receiver.port}/`;
  expect((await guard.post(aPost(url))).status).toBe(200);
  // A second look-up, between the check and the connection, would have led to 127.0.0.1.
  expect(asked).toEqual(['partner.example']);
  expect(receiver.requests.map(({ at }) => at)).toEqual(['127.0.0.2']);
});

it('a name that points inside the next time is refused then, and nothing connects to the inside', async () => {
  const receiver = await startReceiver({
    answer: (response) => void response.setHeader('connection', 'close').end(),
  });
  const { asked, resolveName } = resolver(v4('127.0.0.2'), v4('127.0.0.1'));
  const guard = startGuard({ allowCidrs: ['127.0.0.2/32'], resolveName });
  const url = `http://rebind.example:${receiver.port}/`;
  expect((await guard.post(aPost(url))).status).toBe(200);
  const fault = await faultOf(guard.post(aPost(url)));
  expect(fault).toMatchObject({ code: 'address_refused', mayRetry: false, wasSent: false });
  expect(fault.message).toBe('Name rebind.example resolves to 127.0.0.1, which is loopback.');
  expect(asked).toHaveLength(2);
  expect(receiver.connections()).toBe(1);
});

it.each([
  ['first', v4('127.0.0.1', '127.0.0.2')],
  ['last', v4('127.0.0.2', '127.0.0.1')],
  ['in IPv6', [...v4('127.0.0.2'), { address: '::ffff:127.0.0.1', family: 6 }]],
])('a name with one refused address among good ones is refused (%s)', async (_where, addresses) => {
  const receiver = await startReceiver();
  const guard = startGuard({ allowCidrs: ['127.0.0.2/32'], resolveName: async () => addresses });
  const fault = await faultOf(guard.post(aPost(`http://partner.example:${receiver.port}/`)));
  expect(fault).toMatchObject({ code: 'address_refused', wasSent: false });
  expect(receiver.connections()).toBe(0);
});

it('of several good addresses the one that answers is used', async () => {
  const receiver = await startReceiver({ host: '127.0.0.3' });
  const guard = startGuard({ resolveName: async () => v4('127.0.0.2', '127.0.0.3') });
  expect((await guard.post(aPost(`http://partner.example:${receiver.port}/`))).status).toBe(200);
  expect(receiver.requests[0]?.at).toBe('127.0.0.3');
});

it.each(['not an address', '127.1', '010.0.0.1', 'localhost'])(
  'a resolver that answers %j is refused',
  async (address) => {
    const guard = startGuard({ resolveName: async () => v4(address) });
    expect((await faultOf(guard.post(aPost('http://partner.example/')))).code).toBe('address_refused');
  },
);

it('a name that does not resolve is a fault of its own, to be tried again', async () => {
  const guard = startGuard();
  const fault = await faultOf(guard.post(aPost('http://no-such-name.invalid/')));
  expect(fault).toMatchObject({ code: 'dns_failed', mayRetry: true, wasSent: false });
  const empty = startGuard({ resolveName: async () => [] });
  expect((await faultOf(empty.post(aPost('http://partner.example/')))).code).toBe('dns_failed');
});

it('a resolver that never answers is asked once for all who wait, and each is let go in its time', async () => {
  const asked: string[] = [];
  const guard = startGuard({
    connectTimeoutMs: 200,
    resolveName: (hostname) => {
      asked.push(hostname);
      return new Promise(() => undefined);
    },
  });
  const faults = await Promise.all(
    Array.from({ length: 20 }, () => faultOf(guard.post(aPost('https://silent.example/')))),
  );
  expect(new Set(faults.map(({ code, mayRetry, wasSent }) => `${code} ${mayRetry} ${wasSent}`))).toEqual(
    new Set(['connect_timeout true false']),
  );
  expect(asked).toEqual(['silent.example']);
});

it('the name of this machine is refused by what it resolves to, and passes where that is allowed', async () => {
  const receiver = await startReceiver();
  const url = `http://localhost:${receiver.port}/`;
  // Allowed is only the half of loopback that this name does not resolve to.
  const wrong = startGuard({ allowCidrs: ['127.0.0.1/32'], resolveName: async () => v4('127.0.0.9') });
  expect((await faultOf(wrong.post(aPost(url)))).code).toBe('address_refused');
  const right = startGuard({ allowCidrs: ['127.0.0.0/8', '::1/128'] });
  expect((await right.post(aPost(url))).status).toBe(200);
});

it('a host that is an address is checked by the connector too, which no look-up would see', async () => {
  const receiver = await startReceiver();
  const connect = guardedConnector({
    allowed: addressRanges([]),
    resolveName: async () => [],
    connectTimeoutMs: 5000,
  });
  const error = await new Promise((resolve) =>
    connect({ hostname: '127.0.0.1', protocol: 'http:', port: String(receiver.port) }, (...[refusal]) =>
      resolve(refusal),
    ),
  );
  expect(error).toMatchObject({ code: 'address_refused' });
  expect(receiver.connections()).toBe(0);
});
