import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { gateAnswer, startReceiver } from '../delivery-activity/support/receiver.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestEngine } from '../support/engine.ts';
import { send, statusOf, untilStatus, untilStep } from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  ALLOWED,
  AT_REST,
  allow,
  balanced,
  configure,
  LOCAL,
  ledger,
  liveTemplate,
  received,
  reports,
  seamTemplate,
  state,
  targetFunction,
} from './delivery-support/delivering.ts';
import { installedEngine } from './support/installed.ts';
import { configuration, fingerprint, verifiedEvidence } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { follow, runShipped, startShipped } from './support/shipped-macros.ts';

const LONG = { timeout: 240_000 };

let server: OwnServer;
/** With the worker live in dry run; and with the seam built. */
let live: string;
let seamed: string;
let engine: Awaited<ReturnType<typeof installedEngine>> | undefined;
beforeAll(async () => {
  server = await ownServer();
  live = await liveTemplate(server);
  seamed = await seamTemplate(server, live);
}, 240_000);
afterAll(() => server.stop());
afterEach(async () => {
  await engine?.abandon();
  await engine?.close();
  engine = undefined;
});

async function opened(template: string) {
  engine = await installedEngine(server, template);
  return engine;
}
const undo = async (on: TestEngine, runId: string | null) => on.outcome(await on.undo(runId ?? ''));
const ended = ({ outcome, cause }: MacroStatus) => [outcome, cause];
const before = async (on: TestEngine) => ({
  print: await fingerprint(on),
  config: await configuration(on),
  route: await ask(
    on.sql,
    `select to_jsonb(r) - 'updated_at' as answer from iu_outbound_route as r where route_code = 'iu_version_applied'`,
  ),
});
const undone = async (on: TestEngine, runId: string | null) =>
  (await verifiedEvidence(on, runId)).steps
    .filter((step) => step.undo !== null)
    .map((step) => `${step.id} ${step.state} ${step.undo} ${step.effect}`);
test('delivery-seam is taken back whole: every definition and setting is as before', LONG, async () => {
  const on = await opened(live);
  const was = await before(on);
  const { runId, outcome } = await runShipped(on, 'delivery-seam');
  expect(outcome).toBe('succeeded');
  expect(await fingerprint(on)).not.toBe(was.print);
  expect((await undo(on, runId)).outcome).toBe('rolled_back');
  expect(await before(on)).toEqual(was);
  expect(await undone(on, runId)).toEqual([
    'install-010 done undone taken_back',
    'install-011 done undone taken_back',
  ]);
  expect((await runShipped(on, 'delivery-seam')).outcome).toBe('succeeded');
});

test.each([
  ['queued deliveries', `update iu_outbound_route set dry_run = true`],
  ['a live route', `select 1`],
])(
  'delivery-seam is not taken back over %s: it refuses before anything is gone, and everything is disabled',
  LONG,
  async (_, then) => {
    const on = await opened(live);
    const { runId } = await runShipped(on, 'delivery-seam');
    await allow(on.sql, 'report', 'daily');
    await on.sql.query(`update iu_outbound_route set dry_run = false`);
    await on.sql.query(`update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'`);
    await on.edit();
    expect(
      await ask(on.sql, `select fn_iu_route_worker_run('iu_outbound_default', 10) ->> 'seen' as answer`),
    ).toBe('6');
    await on.sql.query(then);
    const refused = await undo(on, runId);
    expect(refused.outcome).toBe('disabled');
    expect(refused.leftToDo.map(({ stepId }) => stepId)).toEqual(['install-011', 'install-010']);
    expect(await ledger(on.sql)).toMatchObject({ queued: 6 });
    expect(await ask(on.sql, `select fn_iu_route_delivery_work('{report}') ->> 'status' as answer`)).toBe(
      'master_gate_closed',
    );
    expect(
      await ask(
        on.sql,
        `select to_regprocedure('fn_iu_route_delivery_recall(text,integer,text,text)') is not null as answer`,
      ),
    ).toBe(true);
  },
);

test(
  'a target that cannot be reached: the macro rolls back to dry run and says why, and the event has its attempts',
  LONG,
  async () => {
    const on = await opened(seamed);
    const gone = await startReceiver();
    await gone.close();
    configure(on, LOCAL);
    await allow(on.sql, 'external_endpoint', gone.url, { allow_http: true });
    const was = await before(on);
    await on.edit();
    const status = await runShipped(on, 'delivery-live');
    expect(ended(status)).toEqual([
      'rolled_back',
      expect.stringMatching(/delivered: fail.*connect_refused/s),
    ]);
    expect(status.cause).toMatch(/C3 queue empty fail: 1 queued after 1 failed tries/);
    expect(await before(on)).toEqual(was);
    expect(await state(on.sql)).toBe(ALLOWED);
    expect(await ledger(on.sql)).toEqual({ dry_run: 7, failed: 1, queued: 0, letters: 0, backlog: 5 });
    expect(await balanced(on.sql)).toBe('true');
    expect(await undone(on, status.runId)).toEqual([
      'rest done undone taken_back',
      'one-delivery done undone taken_back',
    ]);

    // Once it is there, the same macro is run again, with the next event.
    const there = await startReceiver();
    await allow(on.sql, 'external_endpoint', there.url, { allow_http: true });
    expect(ended(await runShipped(on, 'delivery-live'))).toEqual(['succeeded', '']);
    expect(there.ledger).toHaveLength(1);
    expect(await ledger(on.sql)).toMatchObject({ sent: 1, failed: 1, queued: 0, backlog: 0 });
    await there.close();
  },
);

test(
  'a target that refuses the event for good: the macro rolls back, and the event is a dead letter',
  LONG,
  async () => {
    const on = await opened(seamed);
    const endpoint = await startReceiver(() => 400);
    configure(on, LOCAL);
    await allow(on.sql, 'external_endpoint', endpoint.url, { allow_http: true });
    await on.edit();
    const status = await runShipped(on, 'delivery-live');
    expect(ended(status)).toEqual(['rolled_back', expect.stringMatching(/failed 1 \(http_400\)/)]);
    expect(await state(on.sql)).toBe(ALLOWED);
    expect(await ledger(on.sql)).toEqual({ dry_run: 6, failed: 1, queued: 0, letters: 1, backlog: 5 });
    expect(await balanced(on.sql)).toBe('true');
    expect(endpoint.ledger).toHaveLength(1);
    await endpoint.close();

    const again = await runShipped(on, 'delivery-live');
    expect(ended(again)).toEqual(['rolled_back', expect.stringMatching(/B9 no open dead letter fail/)]);
  },
);

test(
  'a kind that no worker has configured: the macro rolls back and says so, and the event is recalled',
  LONG,
  async () => {
    const on = await opened(seamed);
    await allow(on.sql, 'report', 'daily');
    await on.edit();
    const status = await runShipped(on, 'delivery-live');
    expect(ended(status)).toEqual([
      'rolled_back',
      expect.stringMatching(/1 queued and never tried: is kind report configured for the worker\?/),
    ]);
    expect(await state(on.sql)).toBe(ALLOWED);
    expect(await ledger(on.sql)).toEqual({ dry_run: 7, queued: 0, letters: 0, backlog: 5 });
    expect(await balanced(on.sql)).toBe('true');
  },
);

test('a function that raises: nothing was changed, and its event waits as before', LONG, async () => {
  const on = await opened(seamed);
  await allow(
    on.sql,
    'sql_function',
    await targetFunction(on.sql, `(select jsonb_build_object('x', 1 / 0))`),
  );
  await on.edit();
  const was = await before(on);
  const status = await runShipped(on, 'delivery-live');
  expect(ended(status)).toEqual([
    'rolled_back',
    expect.stringMatching(/was not routed live to route iu_version_applied: failed \(worker_process_error\)/),
  ]);
  expect(await before(on)).toEqual(was);
  expect(await ledger(on.sql)).toEqual({ dry_run: 6, queued: 0, letters: 0, backlog: 6 });
  expect(await received(on.sql)).toBe(0);
});

test(
  'without an event the run is held, cancelled it leaves nothing, and with one it goes on',
  LONG,
  async () => {
    const on = await opened(seamed);
    const kept = await reports();
    configure(on, { report: { dir: kept.dir } });
    await allow(on.sql, 'report', 'daily');
    const was = await before(on);
    const waiting = async () => {
      const handle = await startShipped(on, 'delivery-live');
      const { cause } = (await follow(handle).catch((error: Error) => ({ cause: error.message }))) as {
        cause: string;
      };
      expect(cause).toMatch(/event-at-hand is inconclusive.*emit or edit one unit version/);
      return handle;
    };
    const first = await waiting();
    expect(await state(on.sql)).toBe(`gate false, list 'iu_version_applied', dry run, rests`);
    await first.cancel();
    expect((await on.outcome(first)).outcome).toBe('rolled_back');
    expect(await before(on)).toEqual(was);
    expect(await state(on.sql)).toBe(ALLOWED);

    const second = await waiting();
    await on.edit();
    await send(second, 'retryStep');
    expect(ended(await on.outcome(second))).toEqual(['succeeded', '']);
    expect(await state(on.sql)).toBe(AT_REST);
    expect(await kept.lines('daily')).toHaveLength(1);
    await kept.remove();
  },
);

test('a rejection changes nothing', LONG, async () => {
  const on = await opened(seamed);
  await allow(on.sql, 'report', 'daily');
  await on.edit();
  const was = await before(on);
  const handle = await startShipped(on, 'delivery-live');
  await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null, 60_000);
  await send(handle, 'reject');
  expect((await on.outcome(handle)).outcome).toBe('rolled_back');
  expect(await before(on)).toEqual(was);
  expect(await ledger(on.sql)).toMatchObject({ queued: 0, backlog: 6 });
});

test(
  'cancelled while its target does not answer: the gate is closed, the delivery is recalled, the rest waits',
  LONG,
  async () => {
    const on = await opened(seamed);
    const silent = gateAnswer();
    const endpoint = await startReceiver(silent.answer);
    configure(on, LOCAL);
    await allow(on.sql, 'external_endpoint', endpoint.url, { allow_http: true, timeout_ms: 60_000 });
    const was = await before(on);
    await on.edit();
    const handle = await startShipped(on, 'delivery-live');
    const followed = follow(handle);
    await waitFor(async () => endpoint.open === 1, 120_000);
    expect(await state(on.sql)).toBe(`gate true, list 'iu_version_applied', live, rests`);
    await handle.cancel();
    const status = await followed;
    expect(ended(status)).toEqual(['rolled_back', 'cancelled']);
    expect(await before(on)).toEqual(was);
    expect(await state(on.sql)).toBe(ALLOWED);
    expect(await ledger(on.sql)).toMatchObject({ queued: 0, letters: 0, backlog: 5 });
    expect(await balanced(on.sql)).toBe('true');
    silent.open();
    await endpoint.close();
  },
);

test(
  'terminated with the gate open: the run is taken back by its receipts, and nothing stays live',
  LONG,
  async () => {
    const on = await opened(seamed);
    const silent = gateAnswer();
    const endpoint = await startReceiver(silent.answer);
    configure(on, { ...LOCAL, leaseMs: 3_000 });
    await allow(on.sql, 'external_endpoint', endpoint.url, { allow_http: true, timeout_ms: 60_000 });
    const was = await before(on);
    await on.edit();
    const handle = await startShipped(on, 'delivery-live');
    follow(handle).catch(() => undefined);
    await waitFor(async () => endpoint.open === 1, 120_000);
    const { runId } = await statusOf(handle);
    await handle.terminate('a test');
    expect(await state(on.sql)).toBe(`gate true, list 'iu_version_applied', live, rests`);
    expect((await undo(on, runId)).outcome).toBe('rolled_back');
    expect(await before(on)).toEqual(was);
    expect(await state(on.sql)).toBe(ALLOWED);
    expect(await ledger(on.sql)).toMatchObject({ queued: 0, backlog: 5 });
    expect(await balanced(on.sql)).toBe('true');
    silent.open();
    await endpoint.close();
  },
);

test(
  'taken back after it has succeeded: the route is allowed as before, and the delivery stays history',
  LONG,
  async () => {
    const on = await opened(seamed);
    const kept = await reports();
    configure(on, { report: { dir: kept.dir } });
    await allow(on.sql, 'report', 'daily');
    const was = await before(on);
    await on.edit();
    const { runId, outcome } = await runShipped(on, 'delivery-live');
    expect(outcome).toBe('succeeded');
    expect((await undo(on, runId)).outcome).toBe('rolled_back');
    expect(await before(on)).toEqual(was);
    expect(await state(on.sql)).toBe(ALLOWED);
    expect(await ledger(on.sql)).toMatchObject({ sent: 1, queued: 0, backlog: 0 });
    expect(await undone(on, runId)).toEqual([
      'rest done undone taken_back',
      'one-delivery done undone taken_back',
      'back-to-dry-run done undone taken_back',
    ]);
    await kept.remove();
  },
);

/** A database on which delivery-live has delivered to this endpoint, which is allowed again. */
async function proven(answer?: Parameters<typeof startReceiver>[0]) {
  const on = await opened(seamed);
  const endpoint = await startReceiver();
  configure(on, LOCAL);
  const allowed = () => allow(on.sql, 'external_endpoint', endpoint.url, { allow_http: true });
  await allowed();
  await on.edit();
  expect(ended(await runShipped(on, 'delivery-live'))).toEqual(['succeeded', '']);
  await allowed();
  if (answer !== undefined) endpoint.answer = answer;
  return { on, endpoint };
}

test('durable-live-route asks for the delivery that its route has not made', LONG, async () => {
  const on = await opened(seamed);
  await allow(on.sql, 'report', 'daily');
  const status = await runShipped(on, 'durable-live-route');
  expect(ended(status)).toEqual(['rolled_back', expect.stringMatching(/Q1 one delivery made fail/)]);
  expect(await state(on.sql)).toBe(ALLOWED);
});

test.each(['observe-routing', 'observe-delivery'])(
  'durable-live-route cancelled in %s: the gate is closed, and what is queued is recalled',
  LONG,
  async (stepId) => {
    const { on, endpoint } = await proven();
    const was = await before(on);
    const handle = await startShipped(on, 'durable-live-route', { [`${stepId}.window`]: '60s' });
    const followed = follow(handle, { onObserve: on.edit });
    await untilStep(handle, stepId, 'running', 120_000);
    await waitFor(async () => {
      const { queued, sent } = await ledger(on.sql);
      return stepId === 'observe-routing' ? queued === 6 : sent === 7;
    }, 60_000);
    await handle.cancel();
    expect(ended(await followed)).toEqual(['rolled_back', 'cancelled']);
    expect(await before(on)).toEqual(was);
    expect(await state(on.sql)).toBe(ALLOWED);
    expect(await ledger(on.sql)).toMatchObject(
      stepId === 'observe-routing'
        ? { queued: 0, sent: 1, dry_run: 17 }
        : { queued: 0, sent: 7, dry_run: 11 },
    );
    expect(await balanced(on.sql)).toBe('true');
    await endpoint.close();
  },
);

test(
  'durable-live-route rolls back when its target begins to fail: nothing stays queued, nothing is lost',
  LONG,
  async () => {
    const { on, endpoint } = await proven(() => 503);
    const was = await before(on);
    const status = await runShipped(on, 'durable-live-route', { onObserve: on.edit });
    expect(ended(status)).toEqual([
      'rolled_back',
      expect.stringMatching(/observe-delivery: fail.*failed-tries fail/s),
    ]);
    expect(await before(on)).toEqual(was);
    expect(await state(on.sql)).toBe(ALLOWED);
    const left = await ledger(on.sql);
    expect(left).toMatchObject({ queued: 0, sent: 1, dry_run: 17, backlog: 0 });
    expect(left.failed).toBeGreaterThanOrEqual(6);
    expect(await balanced(on.sql)).toBe('true');
    await endpoint.close();
  },
);
