import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeliveryTarget } from '../delivery/delivery-target.ts';
import { workflowTarget } from '../delivery/workflow-target.ts';
import { aRequest, aTry } from './delivery-support/a-delivery.ts';
import { startTcpProxy } from './support/tcp-proxy.ts';
import { ownTaskQueue, temporalAddress } from './support/temporal-address.ts';
import { waitFor } from './support/wait-for.ts';

Runtime.install({ logger: new DefaultLogger('ERROR') });

const taskQueue = ownTaskQueue('delivered');
let connection: Connection;
let client: Client;
let target: DeliveryTarget;
let stopWorker: () => Promise<void>;
beforeAll(async () => {
  const address = temporalAddress();
  connection = await Connection.connect({ address });
  client = new Client({ connection });
  target = workflowTarget({ client });
  const native = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection: native,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('./delivery-support/delivered-workflows.ts', import.meta.url)),
  });
  const running = worker.run();
  stopWorker = async () => {
    worker.shutdown();
    await running;
    await native.close();
  };
});
afterAll(async () => {
  await stopWorker();
  await connection.close();
});

const requestFor = (type: string, more: Parameters<typeof aRequest>[0] = {}) =>
  aRequest({ targetKind: 'workflow', targetRef: `${taskQueue}/${type}`, ...more });

test('an event starts a workflow, which runs and sees the request', { timeout: 60_000 }, async () => {
  const safePayload = '{"text": "Grüße 🙂", "id": 12345678901234567890}';
  const request = requestFor('Echo', { safePayload, event: { subjectSeq: '7' } });
  const outcome = await target.deliver(request, aTry());
  const workflowId = `delivery/${request.idempotencyKey}`;
  expect(outcome).toEqual({
    status: 'sent',
    delivered: true,
    targetKind: 'workflow',
    detail: {
      workflow_id: workflowId,
      run_id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      first_start: true,
      already_started: false,
    },
  });
  const handle = client.workflow.getHandle(workflowId);
  expect(await handle.result()).toEqual({
    request: {
      idempotency_key: request.idempotencyKey,
      route_code: 'a_route',
      event_ref: request.eventRef,
      target_kind: 'workflow',
      target_ref: request.targetRef,
      event: {
        domain: 'iu',
        type: 'structure_piece_deprecated',
        subject: 'pilot.iu0.test-001',
        subject_seq: '7',
        created_at: '2026-05-21T10:00:00.000001Z',
      },
      safe_payload: { text: 'Grüße 🙂', id: Number('12345678901234567890') },
    },
    memo: {
      route: 'a_route',
      event: request.eventRef,
      domain: 'iu',
      type: 'structure_piece_deprecated',
      subject: 'pilot.iu0.test-001',
    },
  });
  const { events } = await handle.fetchHistory();
  const started = events?.[0]?.workflowExecutionStartedEventAttributes;
  expect(Buffer.from(started?.input?.payloads?.[0]?.data ?? []).toString('utf8')).toContain(
    '"safe_payload":{"text": "Grüße 🙂", "id": 12345678901234567890}}',
  );
  expect(await (await handle.describe()).staticSummary()).toBe('a_route: iu structure_piece_deprecated');
});

test('a repeat starts nothing more, while the workflow runs and after it has ended', {
  timeout: 60_000,
}, async () => {
  const request = requestFor('Wait');
  const outcomes = await Promise.all(Array.from({ length: 5 }, () => target.deliver(request, aTry())));
  expect(outcomes.every(({ status, delivered }) => status === 'sent' && delivered)).toBe(true);
  expect(outcomes.filter(({ detail }) => detail.first_start === true)).toHaveLength(1);
  expect(new Set(outcomes.map(({ detail }) => detail.run_id)).size).toBe(1);

  const handle = client.workflow.getHandle(`delivery/${request.idempotencyKey}`);
  await handle.signal('end');
  await handle.result();
  const { runId } = await handle.describe();
  expect(await target.deliver(request, aTry())).toMatchObject({
    status: 'sent',
    delivered: true,
    detail: { run_id: runId, first_start: false, already_started: true },
  });
  expect((await handle.describe()).runId).toBe(runId);
});

test('an unknown namespace may be tried again, for somebody can make it', async () => {
  const elsewhere = workflowTarget({ client: new Client({ connection, namespace: 'no-such-namespace' }) });
  expect(await elsewhere.deliver(requestFor('Echo'), aTry())).toMatchObject({
    status: 'failed',
    delivered: false,
    failure: { code: 'namespace_not_found', mayRetry: true, message: expect.stringContaining('no-such') },
  });
  await expect(
    Promise.resolve(elsewhere.inspect?.(`${taskQueue}/Echo`, {}, aTry().signal)),
  ).rejects.toMatchObject({ code: 'route_refused', message: expect.stringContaining('no-such-namespace') });
});

test('a server that is away fails the try in its time', { timeout: 60_000 }, async () => {
  const proxy = await startTcpProxy(`tcp://${temporalAddress()}`);
  const distant = Connection.lazy({ address: new URL(proxy.url('tcp://127.0.0.1')).host });
  const away = workflowTarget({ client: new Client({ connection: distant }) });
  const request = requestFor('Echo');
  try {
    expect((await away.deliver(request, aTry())).status).toBe('sent');
    await proxy.refuse();
    const { failure } = await away.deliver(requestFor('Echo'), aTry({ timeout_ms: 1_000 }));
    expect(failure).toMatchObject({ mayRetry: true });
    expect(['timeout', 'temporal_unavailable']).toContain(failure?.code);
    await proxy.accept();
    const again = await waitFor(async () => {
      const { status, detail } = await away.deliver(request, aTry());
      return status === 'sent' ? detail : null;
    }, 30_000);
    expect(again.already_started).toBe(true);
  } finally {
    await away.close?.();
    await distant.close();
    await proxy.close();
  }
});

test('a server that answers nothing is left when the time is over, or the try is ended', {
  timeout: 60_000,
}, async () => {
  const mute = createServer(() => undefined);
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
  const { port } = mute.address() as AddressInfo;
  const distant = Connection.lazy({ address: `127.0.0.1:${port}` });
  const away = workflowTarget({ client: new Client({ connection: distant }) });
  try {
    const late = away.deliver(requestFor('Echo'), aTry({ timeout_ms: 300 }));
    expect((await late).failure).toMatchObject({ code: 'timeout', mayRetry: true });
    const ended = new AbortController();
    setTimeout(() => ended.abort(), 50);
    const given = away.deliver(requestFor('Echo'), aTry({ timeout_ms: 60_000 }, ended.signal));
    expect((await given).failure).toMatchObject({ code: 'timeout', mayRetry: true });
  } finally {
    await away.close?.();
    await distant.close();
    mute.close();
  }
});

test.each([
  '',
  'Echo',
  '/Echo',
  'queue/',
  'queue/two words',
  'que ue/Echo',
  'queue/Echo\n',
  'queue/../Echo;drop',
  'q/ünder',
  `${'q'.repeat(300)}/Echo`,
])('%j is no name of a workflow', async (targetRef) => {
  expect(target.fault(targetRef, {})).toBe('A workflow is named `<task-queue>/<WorkflowType>`.');
  if (targetRef === '') return;
  expect((await target.deliver(requestFor('Echo', { targetRef }), aTry())).failure).toMatchObject({
    code: 'target_ref_malformed',
    mayRetry: false,
  });
});

test('events start nothing on the task queues of sluice itself', async () => {
  for (const own of ['sluice-macro/macro', 'sluice-delivery/drain', 'sluice/undoMacro']) {
    expect(target.fault(own, {})).toContain('one of sluice itself');
    expect((await target.deliver(requestFor('x', { targetRef: own }), aTry())).status).toBe('failed');
  }
  expect(target.fault('team/sluice-reviews/Weekly', {})).toBeNull();
});

test('what the route does not allow is refused', async () => {
  const large = requestFor('Echo', { payload: 'x'.repeat(600_000) });
  expect((await target.deliver(large, aTry())).failure).toMatchObject({
    code: 'payload_too_large',
    mayRetry: false,
  });
  expect(target.fault(`${taskQueue}/Echo`, { timeout: 3 })).toContain('timeout');
  const tooLargeForTemporal = requestFor('Echo', { payload: 'x'.repeat(3_000_000) });
  expect(
    (await target.deliver(tooLargeForTemporal, aTry({ max_body_bytes: 4_000_000 }))).failure,
  ).toMatchObject({
    code: 'request_invalid',
    mayRetry: false,
  });
});

test('an inspection tells a task queue that somebody polls from one that nobody does', {
  timeout: 60_000,
}, async () => {
  const signal = aTry().signal;
  await target.inspect?.(`${taskQueue}/Echo`, {}, signal);
  const nobody = Promise.resolve(target.inspect?.('nobody-polls-this/Echo', {}, signal));
  await expect(nobody).rejects.toMatchObject({
    code: 'route_refused',
    message: expect.stringContaining('No worker polls task queue nobody-polls-this'),
  });
});
