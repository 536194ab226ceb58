import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { isIPv4 } from 'node:net';

/** A key and its certificate, PEM. */
export interface Certificate {
  readonly name: string;
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** Common name. */
  readonly name: string;
  /** DNS names and IPv4 addresses it is valid for. */
  readonly hosts?: readonly string[];
  /** Who signs; itself where absent, and then it is an authority. */
  readonly issuer?: Certificate;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

const DAY_MS = 86_400_000;
const ECDSA_WITH_SHA256 = der(0x30, oid([1, 2, 840, 10045, 4, 3, 2]));

/** A real X.509 certificate (v3, P-256), written without any program. */
export function makeCertificate(options: CertificateOptions): Certificate {
  const { name, hosts = [], issuer } = options;
  const notBefore = options.notBefore ?? new Date(Date.now() - DAY_MS);
  const notAfter = options.notAfter ?? new Date(Date.now() + DAY_MS);
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const subject = commonName(name);
  const toBeSigned = der(
    0x30,
    der(0xa0, integer(2)),
    integer(Math.floor(Math.random() * 0x7fffffff)),
    ECDSA_WITH_SHA256,
    issuer === undefined ? subject : commonName(issuer.name),
    der(0x30, time(notBefore), time(notAfter)),
    subject,
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    der(0xa3, der(0x30, isAuthority(issuer === undefined), ...(hosts.length > 0 ? [altNames(hosts)] : []))),
  );
  const signer: KeyObject | string = issuer?.key ?? privateKey;
  const signature = der(0x03, Buffer.from([0]), sign('sha256', toBeSigned, signer));
  const bytes = der(0x30, toBeSigned, ECDSA_WITH_SHA256, signature).toString('base64');
  return {
    name,
    cert: `-----BEGIN CERTIFICATE-----\n${bytes.replace(/.{64}/g, '$&\n')}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

function isAuthority(yes: boolean): Buffer {
  const constraints = der(0x30, ...(yes ? [der(0x01, Buffer.from([0xff]))] : []));
  return der(0x30, oid([2, 5, 29, 19]), der(0x01, Buffer.from([0xff])), der(0x04, constraints));
}

function altNames(hosts: readonly string[]): Buffer {
  const names = hosts.map((host) =>
    isIPv4(host)
      ? der(0x87, Buffer.from(host.split('.').map(Number)))
      : der(0x82, Buffer.from(host, 'ascii')),
  );
  return der(0x30, oid([2, 5, 29, 17]), der(0x04, der(0x30, ...names)));
}

function commonName(name: string): Buffer {
  return der(0x30, der(0x31, der(0x30, oid([2, 5, 4, 3]), der(0x0c, Buffer.from(name, 'utf8')))));
}

function time(date: Date): Buffer {
  return der(0x18, Buffer.from(`${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`, 'ascii'));
}

function integer(value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32BE(value, 1);
  const first = bytes.findIndex((byte, at) => byte !== 0 || at === 4);
  const short = bytes.subarray(first);
  return der(0x02, (short[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.from([0]), short]) : short);
}

function oid(arcs: readonly number[]): Buffer {
  const [first = 0, second = 0, ...rest] = arcs;
  const base128 = (value: number): number[] => [
    ...(value > 0x7f ? base128(value >> 7).map((byte) => byte | 0x80) : []),
    value & 0x7f,
  ];
  return der(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
