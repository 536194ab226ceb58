import { describe, expect, it } from 'vitest';
import { checkUrl } from '../../delivery/http/check-url.ts';
import { HttpFault, type HttpFaultCode } from '../../delivery/http/http-fault.ts';
import { aPost, faultOf, startGuard } from './support/start-guard.ts';
import { startReceiver } from './support/start-receiver.ts';

const CLOSED = { allowHttp: false, allowCidrs: [] };
const OPEN = { allowHttp: true, allowCidrs: ['0.0.0.0/0', '::/0'] };

function codeOf(url: string, policy: Parameters<typeof checkUrl>[1]): HttpFaultCode | 'passes' {
  try {
    checkUrl(url, policy);
    return 'passes';
  } catch (error) {
    if (error instanceof HttpFault) return error.code;
    throw error;
  }
}

/** Hosts that are this machine, its network or its cloud, in every spelling. */
const INSIDE = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '127.255.255.254',
  '0x7f.1',
  '0x7f000001',
  '0X7F.0.0.1',
  '2130706433',
  '017700000001',
  '0177.0.0.1',
  '0177.0x0.0.1',
  '127.0.0.1.',
  '%31%32%37.0.0.1',
  '１２７.０.０.１',
  '127。0。0。1',
  '①②⑦.0.0.1',
  'localhost',
  'LOCALHOST',
  'ｌｏｃａｌｈｏｓｔ',
  'a.localhost',
  '0.0.0.0',
  '0',
  '0x0',
  '0.0.0.1',
  '10.0.0.1',
  '012.0.0.1',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '3232235777',
  '169.254.169.254',
  '0xa9fea9fe',
  '2852039166',
  '168.63.129.16',
  '100.64.0.1',
  '100.100.100.200',
  '100.127.255.255',
  '192.0.0.192',
  '192.0.2.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '240.0.0.1',
  '255.255.255.255',
  '[::]',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[::127.0.0.1]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[::FFFF:7F00:0001]',
  '[0:0:0:0:0:ffff:a9fe:a9fe]',
  '[::ffff:0:127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[64:ff9b::a9fe:a9fe]',
  '[64:ff9b:1::10.0.0.1]',
  '[64:ff9b:1::8.8.8.8]',
  '[2002:7f00:1::]',
  '[2002:a9fe:a9fe::1]',
  '[2002:808:808::]',
  '[2001:0:4136:e378:8000:63bf:80ff:fffe]',
  '[2606:4700::5efe:127.0.0.1]',
  '[2606:4700::200:5efe:10.0.0.1]',
  '[fe80::1]',
  '[fe80::5efe:7f00:1]',
  '[fec0::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[fd20:ce::254]',
  '[ff02::1]',
  '[100::1]',
  '[2001:db8::1]',
  '[3fff::1]',
  '[2001:2::1]',
  '[4000::1]',
  '[5f00::1]',
];

describe('a URL of the inside', () => {
  it.each(INSIDE)('is refused as https://%s/', (host) => {
    expect(codeOf(`https://${host}/hook`, CLOSED)).toBe('address_refused');
  });

  it.each(INSIDE)('passes as https://%s/ where the environment allows every range', (host) => {
    expect(codeOf(`https://${host}/hook`, OPEN)).toBe('passes');
  });

  it('is refused by a post before anything is connected to', async () => {
    const receiver = await startReceiver();
    const guard = startGuard({ allowCidrs: [] });
    for (const host of ['127.1', '2130706433', '[::1]', '[::ffff:127.0.0.1]', 'localhost', '0.0.0.0']) {
      const fault = await faultOf(guard.post(aPost(`http://${host}:${receiver.port}/hook`)));
      expect(fault).toMatchObject({ code: 'address_refused', mayRetry: false, wasSent: false, status: null });
    }
    expect(receiver.connections()).toBe(0);
  });

  it('is sent to by a post where the environment allows it', async () => {
    const receiver = await startReceiver();
    const guard = startGuard({ allowCidrs: ['127.0.0.1/32'] });
    for (const host of ['127.1', '2130706433', '0x7f.1', '017700000001', '127.0.0.1.']) {
      const answer = await guard.post(aPost(`http://${host}:${receiver.port}/hook?a=1`));
      expect(answer).toMatchObject({ status: 200, body: Buffer.from('{}') });
    }
    expect(receiver.requests.map(({ path, at }) => [path, at])).toEqual(
      Array(5).fill(['/hook?a=1', '127.0.0.1']),
    );
    expect(receiver.requests[0]?.headers.host).toBe(`127.0.0.1:${receiver.port}`);
  });
});

describe('a URL of the internet', () => {
  it.each([
    'https://example.com/hook?a=1',
    'https://EXAMPLE.com',
    'https://bücher.example/hook',
    'https://8.8.8.8/hook',
    'https://[2606:4700:4700::1111]/hook',
    'https://[64:ff9b::8.8.8.8]/hook',
    'https://[::ffff:8.8.8.8]/hook',
    'https://[2606:4700::5efe:8.8.8.8]/hook',
    'https://example.com:443/',
    'https://example.com:80/',
    'https://example.com:1024/',
    'https://example.com:65535/',
    'https://example.com/a@b',
    'https://example.com/?next=https://user@inside',
    'https://127.0.0.1.example.com/',
    'https://localhost.example.com/',
    'https://notlocalhost/',
  ])('passes as %s', (url) => {
    expect(codeOf(url, CLOSED)).toBe('passes');
  });

  it('is read as the standard normalises it', () => {
    expect(checkUrl('HTTPS://BÜCHER.example:443/ä?b=c', CLOSED)).toEqual({
      origin: 'https://xn--bcher-kva.example',
      path: '/%C3%A4?b=c',
      host: 'xn--bcher-kva.example:443',
      secure: true,
    });
  });

  it('is refused over http unless the route allows it', () => {
    expect(codeOf('http://example.com/', CLOSED)).toBe('address_refused');
    expect(codeOf('http://example.com/', { ...CLOSED, allowHttp: true })).toBe('passes');
  });

  it('is judged anew for each route, whatever another route was allowed', async () => {
    const receiver = await startReceiver();
    const guard = startGuard();
    const url = `http://127.0.0.1:${receiver.port}/`;
    expect((await guard.post(aPost(url, { allowHttp: true }))).status).toBe(200);
    expect((await faultOf(guard.post(aPost(url, { allowHttp: false })))).code).toBe('address_refused');
    expect(receiver.requests).toHaveLength(1);
  });

  it.each([1, 21, 22, 23, 25, 53, 110, 143, 389, 445, 465, 587, 993, 1023])(
    'is refused at port %i',
    (port) => {
      expect(codeOf(`https://example.com:${port}/`, OPEN)).toBe('address_refused');
    },
  );
});

describe('a text that no environment can send to', () => {
  it.each([
    '',
    'example.com/hook',
    '//example.com/hook',
    'https:example.com',
    'https:/example.com',
    'https:///example.com',
    'https://',
    'https://:443/',
    'https://?a',
    'ftp://example.com/',
    'file:///etc/passwd',
    'gopher://example.com/',
    'ws://example.com/',
    'data:text/plain,a',
    'javascript:alert(1)',
    'unix:/var/run/docker.sock',
    'https://user@example.com/',
    'https://user:secret@example.com/',
    'https://:secret@example.com/',
    'https://@example.com/',
    'https://example.com@127.0.0.1/',
    'https://example.com/#part',
    'https://example.com/#',
    'https://example.com./hook',
    'https://localhost./hook',
    'https://example.com:65536/',
    'https://example.com:-1/',
    'https://exa mple.com/',
    ' https://example.com/',
    'https://example.com/\n',
    'https://exam\tple.com/',
    'https://example.com/\r\nx-injected: 1',
    'https://example.com/\u0000',
    'https://example.com\\@127.0.0.1/',
    'https:\\\\example.com/',
    'https://1.2.3.4.5/',
    'https://256.256.256.256/',
    'https://[::1/',
    'https://[fe80::1%25eth0]/',
    'https://exa<mple.com/',
    `https://example.com/${'a'.repeat(4096)}`,
  ])('is malformed: %j', (url) => {
    expect(codeOf(url, OPEN)).toBe('target_ref_malformed');
  });

  it('is not repeated in the message', () => {
    expect(() => checkUrl('https://user:s3cret@example.com/tok3n', OPEN)).toThrow(/^[^3]*$/);
    expect(() => checkUrl('https://127.0.0.1/tok3n', CLOSED)).toThrow(/^[^3]*$/);
  });
});

it('a range that is none is refused when the guard is made', () => {
  for (const cidr of ['10.0.0.0', '10.0.0.0/33', '10/8', 'localhost', '', '::/129', '10.0.0.0/8 ']) {
    expect(() => startGuard({ allowCidrs: [cidr] })).toThrow(/is not a range of addresses/);
  }
});
