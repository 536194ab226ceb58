import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, it, vi } from 'vitest';
import { aPost, faultOf, startGuard } from './support/start-guard.ts';
import { startReceiver, startTcpReceiver } from './support/start-receiver.ts';

const GIGABYTE = 1_073_741_824;
const MEGABYTE = 1_048_576;
const UNKNOWN = { mayRetry: true, wasSent: true };

/** Says something once a request has come in whole. */
function afterRequest(socket: Socket, then: () => void): void {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
    if (text.includes('{"a":1}')) then();
  });
}

it('an answer comes back with its status, its headers as single values, and its body', async () => {
  const receiver = await startReceiver({
    answer: (response) =>
      void response
        .writeHead(503, { 'Retry-After': '7', 'X-Many': ['a', 'b'], 'Set-Cookie': ['c=1', 'd=2'] })
        .end('not now'),
  });
  const answer = await startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/hook`));
  expect(answer.status).toBe(503);
  expect(answer.headers).toMatchObject({ 'retry-after': '7', 'x-many': 'a, b', 'set-cookie': 'c=1, d=2' });
  expect(answer.body.toString()).toBe('not now');
  expect(receiver.requests[0]).toMatchObject({
    path: '/hook',
    body: Buffer.from('{"a":1}'),
    headers: { 'accept-encoding': 'identity', 'content-type': 'application/json', 'content-length': '7' },
  });
});

it.each([200, 201, 204, 301, 304, 400, 404, 408, 409, 410, 422, 425, 429, 500, 502, 504, 599])(
  'status %i is an answer',
  async (status) => {
    const receiver = await startReceiver({ answer: (response) => void response.writeHead(status).end() });
    const answer = await startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`));
    expect(answer).toMatchObject({ status, body: Buffer.alloc(0) });
  },
);

it('a large answer in many pieces comes back whole, up to the very limit', async () => {
  const receiver = await startReceiver({
    answer: (response) => void response.end(Buffer.alloc(MEGABYTE, 'x')),
  });
  const guard = startGuard();
  const post = aPost(`http://127.0.0.1:${receiver.port}/`, { maxAnswerBytes: MEGABYTE });
  expect((await guard.post(post)).body.equals(Buffer.alloc(MEGABYTE, 'x'))).toBe(true);
  const fault = await faultOf(guard.post({ ...post, maxAnswerBytes: MEGABYTE - 1 }));
  expect(fault).toMatchObject({ code: 'response_too_large', status: 200 });
});

it.each([301, 302, 303, 307, 308])(
  'a redirect (%i) to the inside is an answer and is not followed',
  async (status) => {
    const inside = await startReceiver();
    const receiver = await startReceiver({
      answer: (response) =>
        void response.writeHead(status, { location: `http://127.0.0.1:${inside.port}/admin` }).end(),
    });
    const answer = await startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`));
    expect(answer.status).toBe(status);
    expect(answer.headers.location).toBe(`http://127.0.0.1:${inside.port}/admin`);
    expect(inside.connections()).toBe(0);
  },
);

it('a target that accepts and never answers is cut off at the deadline', async () => {
  const receiver = await startTcpReceiver((socket) => void socket.resume());
  const fault = await faultOf(
    startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`, { timeoutMs: 300 })),
  );
  expect(fault).toMatchObject({ ...UNKNOWN, code: 'timeout', status: null });
  await vi.waitFor(() => expect(receiver.open()).toBe(0), 60_000);
});

it.each([
  ['its headers', 'HTTP/1.1 200 OK\r\nx-slow: ', null],
  ['its body', 'HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n', 200],
  ['its chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffff\r\n', 200],
])('a target that drips %s is cut off at the deadline', async (_what, head, status) => {
  const receiver = await startTcpReceiver((socket) =>
    afterRequest(socket, () => {
      socket.write(head);
      const drip = setInterval(() => socket.write('x'), 10);
      socket.on('close', () => clearInterval(drip));
    }),
  );
  const start = performance.now();
  const fault = await faultOf(
    startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`, { timeoutMs: 500 })),
  );
  expect(fault).toMatchObject({ ...UNKNOWN, code: 'timeout', status });
  expect(performance.now() - start).toBeGreaterThanOrEqual(490);
  await vi.waitFor(() => expect(receiver.open()).toBe(0), 60_000);
});

it('a target that says "early hints" for ever is cut off at the deadline', async () => {
  const receiver = await startTcpReceiver((socket) =>
    afterRequest(socket, () => {
      const hint = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'), 10);
      socket.on('close', () => clearInterval(hint));
    }),
  );
  const fault = await faultOf(
    startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`, { timeoutMs: 300 })),
  );
  expect(fault).toMatchObject({ code: 'timeout', status: null });
});

it('an answer of a gigabyte is cut off at the limit, and memory stays flat', async () => {
  let written = 0;
  const piece = Buffer.alloc(65_536, 'x');
  const receiver = await startReceiver({
    answer: (response) => {
      const more = (): void => {
        while (written < GIGABYTE && !response.destroyed) {
          written += piece.length;
          if (!response.write(piece)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    },
  });
  const before = process.memoryUsage().rss;
  const fault = await faultOf(startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`)));
  expect(fault).toMatchObject({ code: 'response_too_large', mayRetry: false, wasSent: true, status: 200 });
  await vi.waitFor(() => expect(receiver.open()).toBe(0), 60_000);
  expect(written).toBeLessThan(64 * MEGABYTE);
  expect(process.memoryUsage().rss - before).toBeLessThan(128 * MEGABYTE);
});

it('an answer that announces a gigabyte is cut off before any of it is read', async () => {
  const receiver = await startTcpReceiver((socket) =>
    afterRequest(socket, () => void socket.write(`HTTP/1.1 500 No\r\ncontent-length: ${GIGABYTE}\r\n\r\n`)),
  );
  const fault = await faultOf(startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`)));
  // A 500 may be another answer next time, however large it was.
  expect(fault).toMatchObject({ code: 'response_too_large', mayRetry: true, status: 500 });
  await vi.waitFor(() => expect(receiver.open()).toBe(0), 60_000);
});

it.each([
  ['one without an end', 'x-large: ', 'a'.repeat(4096)],
  ['without an end to them', '', `x-one: ${'a'.repeat(1000)}\r\n`],
])('headers of an answer, %s, are cut off', async (_what, head, again) => {
  const receiver = await startTcpReceiver((socket) =>
    afterRequest(socket, () => {
      socket.write(`HTTP/1.1 200 OK\r\n${head}`);
      const more = (): void => {
        while (socket.writable && socket.write(again));
      };
      socket.on('drain', more);
      more();
    }),
  );
  const fault = await faultOf(startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`)));
  expect(fault).toMatchObject({ code: 'response_too_large', mayRetry: false, wasSent: true });
});

it('a gzip bomb stays as small as it travelled', async () => {
  const bomb = gzipSync(Buffer.alloc(32 * MEGABYTE));
  const receiver = await startReceiver({
    answer: (response) => void response.writeHead(200, { 'content-encoding': 'gzip' }).end(bomb),
  });
  const answer = await startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`));
  expect(answer.body.equals(bomb)).toBe(true);
  expect(bomb.length).toBeLessThan(65_536);
});

it.each([
  ['resets', (socket: Socket) => void socket.resetAndDestroy(), null],
  ['hangs up', (socket: Socket) => void socket.end(), null],
  ['stops in the status line', (socket: Socket) => void socket.end('HTTP/1.1 20'), null],
  ['stops in the headers', (socket: Socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-le'), null],
  [
    'stops in the body',
    (socket: Socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf'),
    200,
  ],
  [
    'stops between chunks',
    (socket: Socket) => void socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n'),
    200,
  ],
  [
    'resets in the body',
    (socket: Socket) =>
      void socket.write('HTTP/1.1 502 No\r\ncontent-length: 9\r\n\r\nhalf', () =>
        setTimeout(() => socket.resetAndDestroy(), 50),
      ),
    502,
  ],
  ['does not speak HTTP', (socket: Socket) => void socket.end('220 mail.example ESMTP\r\n'), null],
  [
    'changes the protocol',
    (socket: Socket) => void socket.end('HTTP/1.1 101 Go\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    null,
  ],
])(
  'a target that %s leaves the outcome unknown, and the request is not repeated',
  async (_what, act, status) => {
    let requests = 0;
    const receiver = await startTcpReceiver((socket) =>
      afterRequest(socket, () => {
        requests += 1;
        act(socket);
      }),
    );
    const fault = await faultOf(startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/tok3n`)));
    expect(fault).toMatchObject({ ...UNKNOWN, code: 'connection_cut', status });
    expect(fault.message).not.toContain('tok3n');
    expect(requests).toBe(1);
  },
);

it('a length and chunks in one answer, with which a second answer is smuggled, are refused', async () => {
  const receiver = await startTcpReceiver((socket) =>
    afterRequest(
      socket,
      () =>
        void socket.write(
          'HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n',
        ),
    ),
  );
  const fault = await faultOf(startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`)));
  expect(fault.code).toBe('connection_cut');
});

it('a caller that gives up ends the request: unsent before, with an unknown outcome after', async () => {
  const receiver = await startReceiver({ answer: () => undefined });
  const guard = startGuard();
  const url = `http://127.0.0.1:${receiver.port}/`;
  const early = await faultOf(guard.post(aPost(url, { signal: AbortSignal.abort() })));
  expect(early).toMatchObject({ code: 'connect_timeout', wasSent: false });
  expect(receiver.connections()).toBe(0);
  const caller = new AbortController();
  const post = faultOf(guard.post(aPost(url, { signal: caller.signal })));
  await vi.waitFor(() => expect(receiver.requests).toHaveLength(1), 60_000);
  caller.abort();
  expect(await post).toMatchObject({ ...UNKNOWN, code: 'timeout', status: null });
  await vi.waitFor(() => expect(receiver.open()).toBe(0), 60_000);
});
