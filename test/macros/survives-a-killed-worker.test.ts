import { readdirSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sessionName } from '../../activities/perform-step.ts';
import { startWorker } from '../../worker.ts';
import { startChildWorker } from '../support/child-worker.ts';
import type { TestEngine } from '../support/engine.ts';
import { receipts, statusOf, untilStep } from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';
import { workflowBundle } from '../support/workflow-bundle.ts';
import { installedEngine, installedTemplate } from './support/installed.ts';
import { configuration, counts, fingerprint, verdictsOf, verifiedEvidence } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { follow, type Handle, LASTING, startShipped } from './support/shipped-macros.ts';
import { untilBlocks } from './support/until-blocks.ts';

let server: OwnServer;
let template: string;
let undisturbed: Awaited<ReturnType<typeof endState>>;
beforeAll(async () => {
  server = await ownServer();
  template = await installedTemplate(server);
  const engine = await installedEngine(server, template);
  const handle = await startShipped(engine, 'worker-live-dry-run');
  const { runId } = await follow(handle, { onObserve: engine.edit });
  undisturbed = await endState(engine, runId);
  await engine.close();
});
afterAll(() => server.stop());

/** What a run leaves, without the times. */
async function endState(engine: TestEngine, runId: string | null) {
  const evidence = await verifiedEvidence(engine, runId);
  const checks: string[] = [];
  for (const { id } of evidence.steps)
    checks.push(`${id}: ${(await verdictsOf(engine, runId, id)).join(', ')}`);
  const cursors = await engine.sql.query(
    `select cursor_code, last_run_summary ->> 'status' as status,
       cursor_event_id = (
         select id from event_outbox order by epoch desc, xact_id desc, created_at desc, id desc limit 1
       ) as "isAtTheEnd"
     from iu_route_worker_cursor`,
  );
  const routes = await engine.sql.query(
    'select route_code, enabled, dry_run from iu_outbound_route order by route_code',
  );
  return {
    outcome: evidence.run.outcome,
    receipts: await receipts(engine, runId),
    checks,
    approvals: evidence.controls.map(({ stepId, action, actor }) => `${actor.claimed} ${action} ${stepId}`),
    fingerprint: evidence.run.fingerprint.equal,
    configuration: await configuration(engine),
    cursors: cursors.rows,
    routes: routes.rows,
    counts: await counts(engine),
    conservation: evidence.atCollection.conservation?.verdict,
  };
}

/** Where a step is caught, and how the test knows that it is in the middle of it. */
interface Middle {
  readonly step: string;
  readonly where: string;
  /** The lock that the step waits for. */
  readonly lock?: string;
  /** When the test takes it. */
  readonly at?: 'start' | 'approval' | 'observe' | 'drained';
  /**
   * A lock that stops the run shortly before the step, until the test has its own: the fingerprint reads every
   * table, and must not be what waits.
   */
  readonly behind?: string;
  /** Name of the session that waits for the lock, where it is not the step's own. */
  readonly session?: string;
  /** The middle, where it is something else than a session that waits for the lock. */
  readonly until?: (given: {
    engine: TestEngine;
    handle: Handle;
    sql: pg.Client;
    holder: pg.Client;
  }) => Promise<unknown>;
}

/** The tests run side by side, and a step comes when the ones before it have passed. */
const PATIENCE_MS = 60_000;
const OPENING = 'sluice.run in share mode';
const GATES = 'dot_config in share mode';
const MIDDLES: readonly Middle[] = [
  {
    step: 'mandatory-gates',
    where: 'it reads the routes',
    at: 'start',
    behind: OPENING,
    lock: 'iu_outbound_route in access exclusive mode',
  },
  {
    step: 'backup',
    where: 'it dumps',
    at: 'start',
    behind: OPENING,
    lock: 'iu_sql_link in access exclusive mode',
    session: 'sluice backup',
  },
  {
    step: 'backup',
    where: 'it restores',
    until: ({ engine }) =>
      waitFor(async () => backupFiles(engine).some((file) => file.endsWith('.dump')), PATIENCE_MS),
  },
  {
    step: 'approval',
    where: 'it waits for a second person',
    until: ({ handle }) => untilStep(handle, 'approval', 'waiting', PATIENCE_MS),
  },
  { step: 'open-gate', where: 'it opens the gate', at: 'approval', lock: GATES },
  {
    step: 'verify-live',
    where: 'it reads the dead letters',
    at: 'approval',
    behind: GATES,
    lock: 'iu_route_dead_letter in access exclusive mode',
  },
  {
    step: 'probe',
    where: 'it marks itself as one',
    at: 'approval',
    lock: 'iu_probe_marker in share mode',
  },
  {
    step: 'observe',
    where: 'organic events wait for the drain',
    at: 'observe',
    lock: 'iu_route_worker_cursor in exclusive mode',
    session: 'sluice:drain:iu_outbound_default',
    until: async ({ sql, holder }) => {
      await waitFor(async () => {
        const found = `select from sluice.observation where metric = 'backlog' and value > 0`;
        return (await sql.query(found)).rowCount !== 0;
      }, PATIENCE_MS);
      return untilBlocks(sql, holder);
    },
  },
  {
    step: 'verify',
    where: 'it reads the versions',
    at: 'drained',
    lock: 'unit_version in access exclusive mode',
  },
];

describe('a worker killed in the middle of a step of worker-live-dry-run', () => {
  for (const middle of MIDDLES) {
    const name = `${middle.step}, while ${middle.where}: the next one goes on by itself`;
    test.concurrent(name, { timeout: 120_000 }, () => surviveIn(middle));
  }
});

async function surviveIn(middle: Middle): Promise<void> {
  const engine = await installedEngine(server, template, { worker: false, lockTimeoutMs: 20_000 });
  const { connect } = engine.database;
  const [holder, doorman, sql] = await Promise.all([connect(), connect(), connect()]);
  const before = await fingerprint(engine);
  const takeLock = async (at: Middle['at']) => {
    if (middle.at !== at) return;
    if (middle.behind === undefined) await holder.query(`begin; lock table ${middle.lock}`);
    else await doorman.query(`begin; lock table ${middle.behind}`);
  };
  await takeLock('start');
  const victim = await startChildWorker(engine);
  const handle = await startShipped(engine, 'worker-live-dry-run', {
    'observe.window': middle.step === 'observe' ? LASTING : '3s',
  });
  const followed = follow(handle, {
    async onApproval() {
      if (middle.step === 'approval') await victim.ended;
      await takeLock('approval');
    },
    async onObserve() {
      await takeLock('observe');
      await engine.edit();
      if (middle.at !== 'drained') return;
      await waitFor(async () => (await counts(engine)).attempts === 6);
      await takeLock('drained');
    },
  });
  if (middle.behind !== undefined) {
    await untilBlocks(sql, doorman);
    await holder.query(`begin; lock table ${middle.lock}`);
    await doorman.query('rollback');
  }
  const waiting = await (middle.until?.({ engine, handle, sql, holder }) ?? untilBlocks(sql, holder));
  const { steps, runId } = await statusOf(handle);
  expect(steps.find((step) => step.id === middle.step)?.state).toMatch(/^(running|waiting)$/);
  if (middle.lock !== undefined)
    expect(waiting).toBe(middle.session ?? sessionName({ runId: runId ?? '', stepId: middle.step }));
  victim.signal('SIGKILL');
  await victim.ended;
  await holder.query('rollback');
  const survivor = await startWorker({
    endpoint: { connectionOptions: { address: engine.address }, namespace: 'default' },
    taskQueue: engine.taskQueue,
    bundlePath: (await workflowBundle()).codePath,
    openTarget: async () => engine.access,
  });
  try {
    const status = await followed;
    expect(status.cause).toBe('');
    expect(await endState(engine, runId)).toEqual(undisturbed);
    expect(await fingerprint(engine)).toBe(before);
    const attempts = status.steps.find((step) => step.id === middle.step)?.attempts;
    expect(attempts).toBe(middle.step === 'approval' ? 1 : 2);
    expect(backupFiles(engine).filter((file) => !/\.dump(\.receipt\.json)?$/.test(file))).toEqual([]);
  } finally {
    await survivor.stop();
    await engine.abandon();
    await engine.close();
  }
}

function backupFiles({ backupDir }: TestEngine): string[] {
  return readdirSync(backupDir, { recursive: true }).map(String).sort();
}
