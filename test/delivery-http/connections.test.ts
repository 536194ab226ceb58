import type { ServerResponse } from 'node:http';
import { expect, it, vi } from 'vitest';
import { aPost, faultOf, startGuard } from './support/start-guard.ts';
import { startReceiver, startTcpReceiver } from './support/start-receiver.ts';

it('posts one after the other share connections: the last one is put back while the next one starts', async () => {
  const receiver = await startReceiver();
  const guard = startGuard();
  for (let count = 0; count < 50; count++) {
    expect((await guard.post(aPost(`http://127.0.0.1:${receiver.port}/${count}`))).status).toBe(200);
  }
  expect(receiver.connections()).toBeLessThanOrEqual(2);
  expect(receiver.requests.map(({ path }) => path)).toEqual(Array.from({ length: 50 }, (_, n) => `/${n}`));
});

it('posts at the same time share as many connections as are allowed, one request each at a time', async () => {
  const waiting: ServerResponse[] = [];
  const receiver = await startReceiver({ answer: (response) => void waiting.push(response) });
  const guard = startGuard({ connections: 4 });
  const posts = Promise.all(
    Array.from({ length: 40 }, (_, n) => guard.post(aPost(`http://127.0.0.1:${receiver.port}/${n}`))),
  );
  for (let answered = 0; answered < 40; answered += 4) {
    await vi.waitFor(() => expect(waiting).toHaveLength(4), 60_000);
    for (const response of waiting.splice(0)) response.end('{}');
  }
  expect((await posts).every(({ status }) => status === 200)).toBe(true);
  expect(receiver.connections()).toBe(4);
});

it('a post that waits for a connection ends in its time, unsent', async () => {
  const waiting: ServerResponse[] = [];
  const receiver = await startReceiver({ answer: (response) => void waiting.push(response) });
  const guard = startGuard({ connections: 1 });
  const url = `http://127.0.0.1:${receiver.port}`;
  const first = guard.post(aPost(`${url}/first`));
  await vi.waitFor(() => expect(waiting).toHaveLength(1), 60_000);
  const second = await faultOf(guard.post(aPost(`${url}/second`, { timeoutMs: 200 })));
  expect(second).toMatchObject({ code: 'connect_timeout', mayRetry: true, wasSent: false });
  waiting.pop()?.end('{}');
  expect((await first).status).toBe(200);
  // Neither does it hold up or spoil the connection for the next.
  const third = guard.post(aPost(`${url}/third`));
  await vi.waitFor(() => expect(waiting).toHaveLength(1), 60_000);
  waiting.pop()?.end('{}');
  expect((await third).status).toBe(200);
  expect(receiver.requests.map(({ path }) => path)).toEqual(['/first', '/third']);
  expect(receiver.connections()).toBe(1);
});

it('a refused connection is said for every post, also for those that waited for it', async () => {
  const receiver = await startReceiver();
  await receiver.stop();
  const guard = startGuard({ connections: 4 });
  const posts = Array.from({ length: 100 }, () =>
    faultOf(guard.post(aPost(`http://127.0.0.1:${receiver.port}/`))),
  );
  const faults = await Promise.all(posts);
  expect(new Set(faults.map(({ code, mayRetry, wasSent }) => `${code} ${mayRetry} ${wasSent}`))).toEqual(
    new Set(['connect_refused true false']),
  );
});

it.each([
  ['http', ['127.0.0.2']],
  ['https', ['127.0.0.2']],
  ['http', ['127.0.0.2', '127.0.0.3']],
  ['https', ['127.0.0.2', '127.0.0.3']],
])('over %s, no connection to any of %j is a refused connection', async (scheme, addresses) => {
  const receiver = await startReceiver();
  await receiver.stop();
  const guard = startGuard({ resolveName: async () => addresses.map((address) => ({ address, family: 4 })) });
  const fault = await faultOf(guard.post(aPost(`${scheme}://partner.example:${receiver.port}/`)));
  expect(fault).toMatchObject({ code: 'connect_refused', wasSent: false });
  expect(fault.message).toBe(`The connection to partner.example:${receiver.port} was refused: ECONNREFUSED.`);
});

it('every post is sent once, also where every connection is cut after its request', async () => {
  let requests = 0;
  const receiver = await startTcpReceiver((socket) =>
    socket.on('data', (chunk) => {
      requests += chunk.toString('latin1').split('POST /').length - 1;
      socket.destroy();
    }),
  );
  const guard = startGuard({ connections: 8 });
  const faults = await Promise.all(
    Array.from({ length: 100 }, () => faultOf(guard.post(aPost(`http://127.0.0.1:${receiver.port}/`)))),
  );
  expect(new Set(faults.map(({ code }) => code))).toEqual(new Set(['connection_cut']));
  expect(requests).toBe(100);
});

it('a target that closes after each answer gets a new connection for each post', async () => {
  const receiver = await startReceiver({
    answer: (response) => void response.setHeader('connection', 'close').end('{}'),
  });
  const guard = startGuard({ connections: 4 });
  const posts = Array.from({ length: 60 }, () => guard.post(aPost(`http://127.0.0.1:${receiver.port}/`)));
  expect((await Promise.all(posts)).every(({ status }) => status === 200)).toBe(true);
  expect(receiver.connections()).toBe(60);
});

it('a target that stops answering does not hold up another', async () => {
  const silent = await startTcpReceiver((socket) => void socket.resume());
  const good = await startReceiver();
  const guard = startGuard({ connections: 8 });
  const caller = new AbortController();
  let ended = 0;
  const stuck = Array.from({ length: 40 }, async () => {
    const post = aPost(`http://127.0.0.1:${silent.port}/`, { timeoutMs: 60_000, signal: caller.signal });
    const fault = await faultOf(guard.post(post));
    ended += 1;
    return fault.code;
  });
  for (let count = 0; count < 100; count++) await guard.post(aPost(`http://127.0.0.1:${good.port}/`));
  expect(ended).toBe(0);
  caller.abort();
  const codes = await Promise.all(stuck);
  expect(codes.filter((code) => code === 'timeout')).toHaveLength(8);
  expect(codes.filter((code) => code === 'connect_timeout')).toHaveLength(32);
});

it('a proxy that the environment names is not used', async () => {
  const proxy = await startReceiver();
  const receiver = await startReceiver();
  const names = ['HTTP_PROXY', 'http_proxy', 'ALL_PROXY'];
  const before = names.map((name): [string, string | undefined] => [name, process.env[name]]);
  for (const name of names) process.env[name] = `http://127.0.0.1:${proxy.port}`;
  try {
    expect((await startGuard().post(aPost(`http://127.0.0.1:${receiver.port}/`))).status).toBe(200);
  } finally {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
  expect(proxy.connections()).toBe(0);
});

it('closing waits for what is in flight, lets go of connections, and refuses what comes later', async () => {
  const waiting: ServerResponse[] = [];
  const receiver = await startReceiver({ answer: (response) => void waiting.push(response) });
  const guard = startGuard();
  const post = guard.post(aPost(`http://127.0.0.1:${receiver.port}/`));
  await vi.waitFor(() => expect(waiting).toHaveLength(1), 60_000);
  const closed = guard.close();
  expect((await faultOf(guard.post(aPost(`http://127.0.0.1:${receiver.port}/`)))).wasSent).toBe(false);
  waiting.pop()?.end('{}');
  expect((await post).status).toBe(200);
  await closed;
  await vi.waitFor(() => expect(receiver.open()).toBe(0), 60_000);
  expect(receiver.requests).toHaveLength(1);
});
