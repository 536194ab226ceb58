import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { gateAnswer, startReceiver } from '../delivery-activity/support/receiver.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestEngine } from '../support/engine.ts';
import { failures, pending, send, untilStatus } from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  allow,
  balanced,
  configure,
  LOCAL,
  ledger,
  liveTemplate,
  ROUTE,
  seamTemplate,
} from './delivery-support/delivering.ts';
import { installedEngine } from './support/installed.ts';
import { verdictsOf } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { type Handle, startShipped } from './support/shipped-macros.ts';

const LONG = { timeout: 240_000 };
const OUTBOUND = ['S1', 'S2', 'S3', 'S4'];

let server: OwnServer;
let seamed: string;
let engine: Awaited<ReturnType<typeof installedEngine>> | undefined;
beforeAll(async () => {
  server = await ownServer();
  seamed = await seamTemplate(server, await liveTemplate(server));
}, 240_000);
afterAll(() => server.stop());
afterEach(async () => {
  await engine?.abandon();
  await engine?.close();
  engine = undefined;
});

/** A live route to a receiver that answers when the gate is opened, with six deliveries queued. */
async function delivering(options: Parameters<typeof installedEngine>[2] = {}) {
  const on = await installedEngine(server, seamed, options);
  engine = on;
  const silent = gateAnswer();
  const endpoint = await startReceiver(silent.answer);
  configure(on, { ...LOCAL, concurrency: 2 });
  await allow(on.sql, 'external_endpoint', endpoint.url, { allow_http: true, timeout_ms: 60_000 });
  await on.sql.query(`update iu_outbound_route set dry_run = false`);
  await on.sql.query(`update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'`);
  await on.edit();
  expect(await runWorker(on.sql)).toMatchObject({ status: 'ran', seen: 6 });
  const deliver = (forMs: number) =>
    on.client.workflow.start('deliver', {
      workflowId: `deliver/${on.target}/${forMs}`,
      taskQueue: on.taskQueue,
      args: [{ target: on.target, forMs, idleMs: 100 }],
    });
  return { on, silent, endpoint, deliver };
}
const undo = async (on: TestEngine, runId: string | null) => on.outcome(await on.undo(runId ?? ''));
const work = (on: TestEngine) =>
  ask<string>(
    on.sql,
    `select format('%s, %s', answer ->> 'status', answer #>> '{routes,0,state}') as answer
     from fn_iu_route_delivery_work('{external_endpoint}') as answer`,
  );
async function approve(handle: Handle, stepId: string): Promise<void> {
  await untilStatus(handle, ({ pendingApproval }) => pendingApproval?.stepId === stepId, 60_000);
  await send(handle, 'approve', await pending(handle));
}

test(
  'L0 waits for the deliveries that are under way, nothing further begins, what is queued stays, and the way back resumes',
  LONG,
  async () => {
    const { on, silent, endpoint, deliver } = await delivering({ lockTimeoutMs: 200 });
    const delivery = await deliver(600_000);
    await waitFor(async () => endpoint.open === 2, 60_000);
    const handle = await startShipped(on, 'disable-outbound');
    // Requests under way have some seconds to end; until then the session that holds the lock is named.
    const stopped = await on.outcome(handle);
    expect([stopped.outcome, stopped.cause]).toEqual(['succeeded', '']);
    expect(await failures(on, stopped.runId)).toContain('nothing-runs do lock_timeout');
    expect(
      await ask(
        on.sql,
        `select bool_and(message ~ 'still under way: pid \\d+ \\(\\w+, sluice:deliver\\)') as answer
         from sluice.step_failure where run_id = $1 and step_id = 'nothing-runs'`,
        [stopped.runId],
      ),
    ).toBe(true);
    expect(await work(on)).toMatch(/^master_gate_closed/);
    expect(await ledger(on.sql)).toMatchObject({ queued: 6 });
    expect((await ledger(on.sql)).sent).toBe(undefined);
    expect(endpoint.ledger).toHaveLength(2);
    expect((await verdictsOf(on, stopped.runId, 'verify')).map((line) => line.split(' ')[0])).toEqual([
      ...OUTBOUND,
      'S5',
    ]);
    // Its target would answer now; the activity looks several times more and finds the gates closed.
    silent.open();
    const once = await deliver(1_500);
    expect(await once.result()).toMatchObject({ sent: 0, inFlight: 0, status: 'master_gate_closed' });
    expect(await ledger(on.sql)).toMatchObject({ queued: 6 });
    expect(endpoint.ledger).toHaveLength(2);
    expect(await balanced(on.sql)).toBe('true');

    expect((await undo(on, stopped.runId)).outcome).toBe('rolled_back');
    await waitFor(async () => (await ledger(on.sql)).sent === 6, 60_000);
    expect(endpoint.keys().size).toBe(6);
    expect(endpoint.ledger).toHaveLength(8);
    await delivery.cancel();
    await delivery.result().catch(() => undefined);
    await endpoint.close();
  },
);

test(
  'L2 switches the live route off: its deliveries stay queued, and its way back lets them go',
  LONG,
  async () => {
    const { on, silent, endpoint, deliver } = await delivering();
    silent.open();
    const stopped = await on.outcome(await startShipped(on, 'disable-outbound'));
    expect([stopped.outcome, stopped.cause]).toEqual(['succeeded', '']);
    const handle = await startShipped(on, 'disable-outbound-fully');
    await approve(handle, 'approve-routes');
    await approve(handle, 'approve-triggers');
    const fully = await on.outcome(handle);
    expect([fully.outcome, fully.cause]).toEqual(['succeeded', '']);
    // Even with every gate opened by mistake the route is off.
    await on.sql.query(
      `update dot_config set value = 'true' where key in ('iu_core.outbound_enabled', 'iu_core.route_worker_enabled')`,
    );
    expect(await work(on)).toBe('open, not_live');
    expect(await (await deliver(0)).result()).toMatchObject({ sent: 0 });
    await on.sql.query(
      `update dot_config set value = 'false' where key in ('iu_core.outbound_enabled', 'iu_core.route_worker_enabled')`,
    );
    expect(await ledger(on.sql)).toMatchObject({ queued: 6 });
    expect(endpoint.ledger).toHaveLength(0);

    expect((await undo(on, fully.runId)).outcome).toBe('rolled_back');
    expect(
      await ask(
        on.sql,
        `select enabled and not dry_run as answer from iu_outbound_route where route_code = $1`,
        [ROUTE],
      ),
    ).toBe(true);
    expect((await undo(on, stopped.runId)).outcome).toBe('rolled_back');
    expect(await (await deliver(1)).result()).toMatchObject({ sent: 6, status: 'open' });
    expect(endpoint.keys().size).toBe(6);
    expect(await ledger(on.sql)).toMatchObject({ sent: 6, queued: 0, letters: 0 });
    expect(await balanced(on.sql)).toBe('true');
    await endpoint.close();
  },
);
