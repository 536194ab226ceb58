import type { AddressInfo } from 'node:net';
import { createServer, type Server, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { type Certificate, makeCertificate } from '../../delivery-http/support/make-certificate.ts';
import type { Answer } from './ledger.ts';

export const GIGABYTE = 1_073_741_824;
const MEGABYTE = Buffer.alloc(1_048_576, 'x');

/** Answers and keeps quiet for ever. */
export const neverAnswers: Answer = () => undefined;

/** Begins an answer and goes on with a byte a second. */
export const dripsABytePerSecond: Answer = ({ response }) => {
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.write('x');
  const drip = setInterval(() => response.write('x'), 1_000);
  response.once('close', () => clearInterval(drip));
  return undefined;
};

export const resetsInTheMiddle: Answer = ({ response }) => {
  response.writeHead(200, { 'content-length': '1000' });
  response.write('half of ', () => response.socket?.resetAndDestroy());
  return undefined;
};

export const closesBeforeAnswering: Answer = ({ response }) => {
  response.socket?.end();
  return undefined;
};

/** Offers a gigabyte and says beforehand that it is one, or does not say it. */
export function offersAGigabyte(isSaid: boolean): Answer & { readonly taken: () => number } {
  let taken = 0;
  const answer: Answer = ({ response }) => {
    response.writeHead(200, isSaid ? { 'content-length': String(GIGABYTE) } : {});
    let left = GIGABYTE;
    const pour = (): void => {
      while (left > 0 && !response.destroyed) {
        left -= MEGABYTE.length;
        if (!response.write(MEGABYTE)) return;
      }
      response.end();
    };
    const { socket } = response;
    const before = socket?.bytesWritten ?? 0;
    response.on('drain', pour).once('close', () => {
      taken += (socket?.bytesWritten ?? before) - before - (socket?.writableLength ?? 0);
    });
    pour();
    return undefined;
  };
  return Object.assign(answer, { taken: () => taken });
}

/** One megabyte that is a gigabyte when it is unpacked. */
export function gzipBomb(status: number): Answer {
  const member = gzipSync(Buffer.alloc(16 * 1_048_576));
  const bomb = Buffer.concat(Array.from({ length: 64 }, () => member));
  return ({ response }) => {
    response
      .writeHead(status, {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
        'content-length': bomb.length,
      })
      .end(bomb);
    return undefined;
  };
}

/** What a server shows that is not to be trusted, and one that is, of an authority of the test. */
export interface Certificates {
  /** Of the authority that is trusted. */
  readonly ca: string;
  readonly valid: Certificate;
  readonly expired: Certificate;
  readonly ofAnotherHost: Certificate;
  readonly ofAnotherAuthority: Certificate;
}

export function certificates(): Certificates {
  const issuer = makeCertificate({ name: 'the authority' });
  const hosts = ['127.0.0.1'];
  const yesterday = new Date(Date.now() - 86_400_000);
  return {
    ca: issuer.cert,
    valid: makeCertificate({ name: 'valid', hosts, issuer }),
    expired: makeCertificate({
      name: 'expired',
      hosts,
      issuer,
      notBefore: new Date(Date.now() - 2 * 86_400_000),
      notAfter: yesterday,
    }),
    ofAnotherHost: makeCertificate({ name: 'another host', hosts: ['127.0.0.2'], issuer }),
    ofAnotherAuthority: makeCertificate({
      name: 'another authority',
      hosts,
      issuer: makeCertificate({ name: 'unknown' }),
    }),
  };
}

/** Accepts connections, reads what comes and says nothing, not even a handshake. */
export async function startMuteServer(): Promise<{ readonly port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A port of this machine on which nobody listens. */
export async function closedPort(): Promise<number> {
  const server = await startMuteServer();
  await server.close();
  return server.port;
}
