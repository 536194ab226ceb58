import { beforeAll, expect, it } from 'vitest';
import { type Certificate, makeCertificate } from './support/make-certificate.ts';
import { aPost, faultOf, startGuard } from './support/start-guard.ts';
import { startReceiver, startTcpReceiver } from './support/start-receiver.ts';

const HOST = 'partner.example';
const resolveName = async () => [{ address: '127.0.0.1', family: 4 }];
const DAY_MS = 86_400_000;
let authority: Certificate;

beforeAll(() => {
  authority = makeCertificate({ name: 'Test authority' });
});

function guardThatTrusts(ca?: string) {
  return startGuard({ resolveName, ...(ca === undefined ? {} : { ca }) });
}

it('a target with a valid certificate for its name is delivered to, again and again', async () => {
  const receiver = await startReceiver({
    tls: makeCertificate({ name: HOST, hosts: [HOST], issuer: authority }),
  });
  const guard = guardThatTrusts(authority.cert);
  const post = aPost(`https://${HOST}:${receiver.port}/hook`, { allowHttp: false });
  expect((await guard.post(post)).status).toBe(200);
  expect((await guard.post(post)).status).toBe(200);
  expect(receiver.requests[0]?.headers.host).toBe(`${HOST}:${receiver.port}`);
});

it('a target that is an address needs a certificate for that address', async () => {
  const tls = makeCertificate({ name: 'address', hosts: ['127.0.0.1'], issuer: authority });
  const receiver = await startReceiver({ tls });
  const guard = guardThatTrusts(authority.cert);
  expect((await guard.post(aPost(`https://127.0.0.1:${receiver.port}/`))).status).toBe(200);
  expect((await faultOf(guard.post(aPost(`https://127.0.0.2:${receiver.port}/`)))).code).toBe('tls_failed');
  expect((await faultOf(guard.post(aPost(`https://${HOST}:${receiver.port}/`)))).code).toBe('tls_failed');
});

const BAD: readonly [string, () => Certificate, string][] = [
  [
    'has expired',
    () =>
      makeCertificate({
        name: HOST,
        hosts: [HOST],
        issuer: authority,
        notAfter: new Date(Date.now() - 3_600_000),
      }),
    'CERT_HAS_EXPIRED',
  ],
  [
    'is not valid yet',
    () =>
      makeCertificate({
        name: HOST,
        hosts: [HOST],
        issuer: authority,
        notBefore: new Date(Date.now() + DAY_MS / 2),
      }),
    'CERT_NOT_YET_VALID',
  ],
  [
    'is for another host',
    () => makeCertificate({ name: 'other.example', hosts: ['other.example'], issuer: authority }),
    'ERR_TLS_CERT_ALTNAME_INVALID',
  ],
  [
    'is of an unknown authority',
    () =>
      makeCertificate({ name: HOST, hosts: [HOST], issuer: makeCertificate({ name: 'Another authority' }) }),
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  ],
  ['signs itself', () => makeCertificate({ name: HOST, hosts: [HOST] }), 'DEPTH_ZERO_SELF_SIGNED_CERT'],
];

it.each(BAD)(
  'a target whose certificate %s gets nothing, however often it is tried',
  async (_what, make, reason) => {
    const receiver = await startReceiver({ tls: make() });
    const guard = guardThatTrusts(authority.cert);
    for (let attempt = 1; attempt <= 3; attempt++) {
      const fault = await faultOf(guard.post(aPost(`https://${HOST}:${receiver.port}/tok3n`)));
      expect(fault).toMatchObject({ code: 'tls_failed', mayRetry: true, wasSent: false });
      expect(fault.message).toBe(
        `No trusted TLS connection to ${HOST}:${receiver.port} came about: ${reason}.`,
      );
    }
    expect(receiver.requests).toEqual([]);
  },
);

it('the authority of another guard is not trusted', async () => {
  const receiver = await startReceiver({
    tls: makeCertificate({ name: HOST, hosts: [HOST], issuer: authority }),
  });
  const post = aPost(`https://${HOST}:${receiver.port}/`);
  expect((await guardThatTrusts(authority.cert).post(post)).status).toBe(200);
  expect((await faultOf(guardThatTrusts().post(post))).code).toBe('tls_failed');
});

it('the switch of Node.js that turns verification off does not turn it off here', async () => {
  const receiver = await startReceiver({ tls: makeCertificate({ name: HOST, hosts: [HOST] }) });
  const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
  try {
    const fault = await faultOf(guardThatTrusts().post(aPost(`https://${HOST}:${receiver.port}/`)));
    expect(fault.code).toBe('tls_failed');
  } finally {
    if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
    else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before;
  }
});

it('a target that speaks no TLS, and one that hangs up in the handshake, get nothing', async () => {
  const plain = await startReceiver();
  const hangsUp = await startTcpReceiver((socket) => void socket.once('data', () => socket.destroy()));
  const guard = guardThatTrusts(authority.cert);
  for (const { port } of [plain, hangsUp]) {
    const fault = await faultOf(guard.post(aPost(`https://${HOST}:${port}/`)));
    expect(fault).toMatchObject({ code: 'tls_failed', wasSent: false });
  }
  expect(plain.requests).toEqual([]);
});

it('a target that accepts and never shakes hands is let go in the time for a connection', async () => {
  const receiver = await startTcpReceiver((socket) => void socket.resume());
  const guard = startGuard({ resolveName, connectTimeoutMs: 300 });
  const fault = await faultOf(guard.post(aPost(`https://${HOST}:${receiver.port}/`)));
  expect(fault).toMatchObject({ code: 'connect_timeout', mayRetry: true, wasSent: false });
});
