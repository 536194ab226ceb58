import { getEventListeners } from 'node:events';
import type { ServerResponse } from 'node:http';
import { expect, it, vi } from 'vitest';
import { aPost, faultOf, startGuard } from './support/start-guard.ts';
import { startReceiver } from './support/start-receiver.ts';

it('a signal that many posts share ends all of them and no other, through one listener that goes with the last', async () => {
  const waiting: ServerResponse[] = [];
  const receiver = await startReceiver({ answer: (response) => void waiting.push(response) });
  const guard = startGuard();
  const url = `http://127.0.0.1:${receiver.port}`;
  const [shared, other] = [new AbortController(), new AbortController()];
  const posts = Array.from({ length: 8 }, (_, n) =>
    faultOf(guard.post(aPost(`${url}/${n}`, { signal: shared.signal }))),
  );
  const spared = guard.post(aPost(`${url}/spared`, { signal: other.signal }));
  await vi.waitFor(() => expect(waiting).toHaveLength(9), 60_000);
  expect(getEventListeners(shared.signal, 'abort')).toHaveLength(1);

  shared.abort();
  expect((await Promise.all(posts)).map(({ code, wasSent }) => `${code} ${wasSent}`)).toEqual(
    Array.from({ length: 8 }, () => 'timeout true'),
  );
  for (const response of waiting) response.end('{}');
  expect((await spared).status).toBe(200);
  for (const { signal } of [shared, other]) expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('a signal goes on to end posts after all that it had ended by themselves', async () => {
  const waiting: ServerResponse[] = [];
  const receiver = await startReceiver({ answer: (response) => void waiting.push(response) });
  const guard = startGuard();
  const caller = new AbortController();
  const post = () => guard.post(aPost(`http://127.0.0.1:${receiver.port}/`, { signal: caller.signal }));
  const first = post();
  await vi.waitFor(() => expect(waiting).toHaveLength(1), 60_000);
  waiting.pop()?.end('{}');
  expect((await first).status).toBe(200);

  const second = faultOf(post());
  await vi.waitFor(() => expect(waiting).toHaveLength(1), 60_000);
  caller.abort();
  expect(await second).toMatchObject({ code: 'timeout', wasSent: true });
});
