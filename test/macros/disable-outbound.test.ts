import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { ENABLE } from '../sql-worker/support/installed.ts';
import { applyFile, readChecks, verdicts } from '../sql-worker/support/run-file.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestEngine } from '../support/engine.ts';
import { actions, failures, pending, send, statusOf, untilStatus } from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';
import { installedEngine, installedTemplate } from './support/installed.ts';
import { configuration, counts, fingerprint, verdictsOf, verifiedEvidence } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { type Handle, startShipped } from './support/shipped-macros.ts';

let server: OwnServer;
let based: string;
/** With the worker registered inert. */
let inert: string;
beforeAll(async () => {
  server = await ownServer();
  based = await installedTemplate(server, ['iu-core-base']);
  inert = await installedTemplate(server, ['event-worker'], based);
});
afterAll(() => server.stop());

const LONG = { timeout: 180_000 };
const STOPPED = [
  'S1 worker gate pass',
  'S2 master gate pass',
  'S3 nothing runs pass',
  'S4 nothing can start pass',
];

/** An engine on a database whose worker is live. */
async function live(options: Parameters<typeof installedEngine>[2] = {}) {
  const engine = await installedEngine(server, inert, options);
  await applyFile(engine.sql, ENABLE);
  return engine;
}

const disable = async (engine: TestEngine) => engine.outcome(await startShipped(engine, 'disable-outbound'));
const undo = async (engine: TestEngine, runId: string | null) =>
  engine.outcome(await engine.undo(runId ?? ''));

/** Approves this step as a second person, once it waits for one. */
async function approve(handle: Handle, stepId: string): Promise<void> {
  await untilStatus(handle, ({ pendingApproval }) => pendingApproval?.stepId === stepId);
  await send(handle, 'approve', await pending(handle));
}

async function disableFully(engine: TestEngine): Promise<MacroStatus> {
  const handle = await startShipped(engine, 'disable-outbound-fully');
  await approve(handle, 'approve-routes');
  await approve(handle, 'approve-triggers');
  return engine.outcome(handle);
}

const ended = ({ outcome, cause }: MacroStatus) => [outcome, cause];
const statesOf = ({ steps }: MacroStatus) => steps.map(({ id, state }) => `${id} ${state}`);
const gates = async (engine: TestEngine) => {
  const config = await configuration(engine);
  return [config['iu_core.route_worker_enabled'], config['iu_core.outbound_enabled']];
};
const routes = (engine: TestEngine) =>
  ask<string[]>(
    engine.sql,
    `select array_agg(format('%s %s %s', route_code, enabled, disabled_by) order by route_code) as answer
     from iu_outbound_route`,
  );
const trigger = (engine: TestEngine) =>
  ask<string>(engine.sql, `select tgenabled as answer from pg_trigger where tgname = 'trg_iu_out_version'`);
const balanced = (engine: TestEngine) =>
  ask<string>(engine.sql, `select fn_iu_conservation() ->> 'balanced' as answer`);
/** Every gate's change with who asked for it and why. */
const audited = async (engine: TestEngine) =>
  (
    await engine.sql.query<{ line: string }>(
      `select format('%s %s by %s: %s', name, became ->> 'value', actor, reason) as line
       from iu_control_change
       where control = 'config' and actor is not null and name like '%\\_enabled'
       order by change_no`,
    )
  ).rows.map((row) => row.line);

test(
  'all levels and all the way back: everything stops, edits wait or are remembered, and each becomes one attempt in the end',
  LONG,
  async () => {
    const engine = await live();
    await engine.sql.query(
      `insert into iu_outbound_route (route_code, event_domain, event_type, target_kind, target_ref)
       values ('was_off', 'iu', 'version_applied', 'report', 'x')`,
    );
    await engine.edit();
    expect(await runWorker(engine.sql)).toMatchObject({ status: 'ran', attempts_written: 6 });
    const before = {
      print: await fingerprint(engine),
      config: await configuration(engine),
      routes: await routes(engine),
    };
    expect(before.routes).toEqual(['iu_version_applied t ', 'was_off f ']);

    const stopped = await disable(engine);
    expect(ended(stopped)).toEqual(['succeeded', '']);
    expect(new Set(stopped.steps.map(({ state }) => state))).toEqual(new Set(['done']));
    expect(await verdictsOf(engine, stopped.runId, 'nothing-runs')).toEqual(['L0 nothing runs pass']);
    expect(await verdictsOf(engine, stopped.runId, 'verify')).toEqual([...STOPPED, 'S5 nothing lost pass']);
    expect(await gates(engine)).toEqual(['false', 'false']);
    await engine.edit();
    expect(await runWorker(engine.sql)).toMatchObject({ status: 'master_gate_closed', seen: 0 });
    expect(await counts(engine)).toMatchObject({ events: 12, attempts: 6 });
    expect(await balanced(engine)).toBe('true');

    const fully = await disableFully(engine);
    expect(ended(fully)).toEqual(['succeeded', '']);
    expect(await verdictsOf(engine, fully.runId, 'verify')).toEqual([
      ...STOPPED,
      'R1 routes off pass',
      'R2 triggers off pass',
      'R3 nothing lost pass',
    ]);
    expect(await routes(engine)).toEqual(['iu_version_applied f L2', 'was_off f ']);
    expect(await trigger(engine)).toBe('D');
    await engine.edit();
    await engine.edit();
    expect(await counts(engine)).toMatchObject({ versions: 30, events: 12, attempts: 6 });
    expect(await balanced(engine)).toBe('false');

    await expect(undo(engine, stopped.runId)).rejects.toMatchObject({
      cause: { cause: { type: 'target_conflict', message: expect.stringMatching(/disable-outbound-fully/) } },
    });
    expect((await undo(engine, fully.runId)).outcome).toBe('rolled_back');
    expect(await trigger(engine)).toBe('A');
    expect(await routes(engine)).toEqual(before.routes);
    expect(await gates(engine)).toEqual(['false', 'false']);
    expect(await counts(engine)).toMatchObject({ versions: 30, events: 24, attempts: 6 });
    expect(await balanced(engine)).toBe('true');
    const inOrder = await ask<boolean>(
      engine.sql,
      `select bool_and(sequence = sorted) as answer
       from (
         select
           array_agg((payload ->> 'version_seq')::int order by xact_id, created_at, id) as sequence,
           array_agg((payload ->> 'version_seq')::int order by payload ->> 'version_seq') as sorted
         from event_outbox
         group by event_subject
       ) as told`,
    );
    expect(inOrder).toBe(true);
    expect((await undo(engine, stopped.runId)).outcome).toBe('rolled_back');
    expect({
      print: await fingerprint(engine),
      config: await configuration(engine),
      routes: await routes(engine),
    }).toEqual(before);

    expect(await runWorker(engine.sql)).toMatchObject({ status: 'ran', seen: 18, attempts_written: 18 });
    expect(await counts(engine)).toMatchObject({ events: 24, attempts: 24, dryRuns: 24, deadLetters: 0 });
    for (const run of [stopped, fully]) {
      const evidence = await verifiedEvidence(engine, run.runId);
      expect(evidence.takenBackBy.map(({ outcome }) => outcome)).toEqual(['rolled_back']);
    }
    expect((await audited(engine)).slice(-4)).toEqual([
      'iu_core.route_worker_enabled false by ana: a test',
      'iu_core.outbound_enabled false by ana: a test',
      'iu_core.outbound_enabled true by bo: a test',
      'iu_core.route_worker_enabled true by bo: a test',
    ]);
    await engine.close();
  },
);

test(
  'beside writers and a running drain: a run finishes or is refused, and every event is decided once or waits',
  LONG,
  async () => {
    const engine = await live();
    const sessions = await Promise.all([1, 2, 3, 4].map(() => engine.database.connect()));
    const [drain, ...writers] = sessions;
    if (drain === undefined) throw new Error('no session');
    let isOver = false;
    const answers: string[] = [];
    const work = Promise.all([
      ...writers.map(async (sql, writer) => {
        for (let n = 0; !isOver; n += 1) await emitFrom(sql, writer, n);
      }),
      (async () => {
        while (!isOver) {
          const run = await ask<{ status: string }>(
            drain,
            `select fn_iu_route_worker_run('iu_outbound_default', 20) as answer`,
          );
          if (answers.at(-1) !== run.status) answers.push(run.status);
        }
      })(),
    ]);
    await waitFor(async () => (await counts(engine)).attempts > 200);
    const stopped = await disable(engine);
    expect(ended(stopped)).toEqual(['succeeded', '']);
    const { attempts, events } = await counts(engine);
    await waitFor(async () => (await counts(engine)).events > events + 200);
    expect(await counts(engine)).toMatchObject({ attempts });
    isOver = true;
    await work;
    const last = answers.lastIndexOf('ran');
    expect(answers[0]).toBe('ran');
    // A verification holds the lock for a moment, and then a run says so instead.
    expect(answers.slice(last + 1)).toContain('master_gate_closed');
    expect(new Set(answers)).toEqual(
      new Set(answers.filter((one) => /^(ran|gate_closing|(worker|master)_gate_closed)$/.test(one))),
    );
    expect(await balanced(engine)).toBe('true');

    expect((await undo(engine, stopped.runId)).outcome).toBe('rolled_back');
    await waitFor(async () => (await runWorker(engine.sql, 1000)).seen === 0, 60_000);
    const done = await counts(engine);
    expect(done).toMatchObject({ attempts: done.events, dryRuns: done.events, deadLetters: 0 });
    await engine.close();
  },
);

const emitFrom = (sql: pg.Client, writer: number, n: number) =>
  sql.query(
    `select fn_iu_emit_event('iu', 'version_applied', $1, null, jsonb_build_object('n', $2::int), 'a writer')`,
    [`writer ${writer}`, n],
  );

test(
  'a run that goes on keeps L0 waiting: its pid is named, both gates stay closed, and a person decides',
  LONG,
  async () => {
    const engine = await live({ lockTimeoutMs: 200 });
    const slow = await engine.database.connect({ application_name: 'a slow run' });
    const pid = await ask<number>(slow, 'select pg_backend_pid() as answer');
    const hold = async () => {
      await engine.edit();
      await slow.query('begin');
      expect(await runWorker(slow)).toMatchObject({ status: 'ran', seen: 6 });
    };

    await hold();
    const handle = await startShipped(engine, 'disable-outbound');
    const { held } = await untilStatus(handle, (status) => status.held !== null, 60_000);
    expect(held?.reason).toMatch(
      new RegExp(`nothing-runs is fail: .*still under way: pid ${pid} \\(\\w+, a slow run\\)`),
    );
    expect(await gates(engine)).toEqual(['false', 'false']);
    expect(await failures(engine, (await statusOf(handle)).runId)).toEqual(
      Array.from({ length: 5 }, () => 'nothing-runs do lock_timeout'),
    );
    expect(
      await ask(engine.sql, `select fn_iu_route_worker_run('iu_outbound_default', 1) ->> 'seen' as answer`),
    ).toBe('0');
    await slow.query('commit');
    await send(handle, 'retryStep');
    const stopped = await engine.outcome(handle);
    expect(ended(stopped)).toEqual(['succeeded', '']);
    expect(await counts(engine)).toMatchObject({ events: 6, attempts: 6 });
    expect((await undo(engine, stopped.runId)).outcome).toBe('rolled_back');

    await hold();
    const again = await startShipped(engine, 'disable-outbound');
    await untilStatus(again, (status) => status.held !== null, 60_000);
    await send(again, 'rollback', { reason: 'a long batch, no incident' });
    const back = await engine.outcome(again);
    expect(back.outcome).toBe('rolled_back');
    expect(back.cause).toMatch(/bo: a long batch/);
    expect(await gates(engine)).toEqual(['true', 'true']);
    expect((await audited(engine)).slice(-1)).toEqual([
      'iu_core.route_worker_enabled true by bo: a long batch, no incident',
    ]);
    await slow.query('commit');
    await engine.close();
  },
);

test(
  'what was closed before is left closed by the way back, and a second run finds everything stopped',
  LONG,
  async () => {
    const engine = await installedEngine(server, inert);
    const first = await disable(engine);
    expect(statesOf(first).slice(2, 4)).toEqual(['worker-gate already_applied', 'master-gate done']);
    const second = await disable(engine);
    expect(ended(second)).toEqual(['succeeded', '']);
    expect(statesOf(second).slice(2, 4)).toEqual([
      'worker-gate already_applied',
      'master-gate already_applied',
    ]);
    expect((await undo(engine, second.runId)).outcome).toBe('rolled_back');
    expect(await gates(engine)).toEqual(['false', 'false']);
    expect((await undo(engine, first.runId)).outcome).toBe('rolled_back');
    expect(await gates(engine)).toEqual(['false', 'true']);
    await engine.close();
  },
);

test('a rejection or an expiry takes L2 back and leaves everything stopped', LONG, async () => {
  const engine = await live();
  await disable(engine);
  const rejected = await startShipped(engine, 'disable-outbound-fully');
  await pending(rejected);
  await send(rejected, 'reject', { reason: 'L1 is enough' });
  const refusal = await engine.outcome(rejected);
  expect(refusal.outcome).toBe('rolled_back');
  expect(refusal.cause).toMatch(/bo rejected step approve-routes: L1 is enough/);

  const late = await startShipped(engine, 'disable-outbound-fully', { 'approve-triggers.expires': '500ms' });
  await approve(late, 'approve-routes');
  const expired = await engine.outcome(late);
  expect(expired.outcome).toBe('rolled_back');
  expect(expired.cause).toMatch(/The approval of step approve-triggers expired/);
  expect(await actions(engine, expired.runId)).toEqual(['bo approve', 'sluice expired']);
  expect(statesOf(expired).filter((line) => line.startsWith('routes'))).toEqual(['routes undone']);

  expect(await routes(engine)).toEqual(['iu_version_applied t ']);
  expect(await trigger(engine)).toBe('A');
  expect(await gates(engine)).toEqual(['false', 'false']);
  await engine.close();
});

test(
  'L2 and L3 are refused while a gate is open, and L3 where one was opened during the wait for its approval',
  LONG,
  async () => {
    const engine = await live();
    const early = await engine.outcome(await startShipped(engine, 'disable-outbound-fully'));
    expect(early.outcome).toBe('rolled_back');
    expect(early.cause).toMatch(/S1 worker gate fail: open; S2 master gate fail: open/);

    await disable(engine);
    const handle = await startShipped(engine, 'disable-outbound-fully');
    await approve(handle, 'approve-routes');
    await untilStatus(handle, ({ pendingApproval }) => pendingApproval?.stepId === 'approve-triggers');
    await engine.sql.query(`update dot_config set value = 'true' where key = 'iu_core.outbound_enabled'`);
    await approve(handle, 'approve-triggers');
    const late = await engine.outcome(handle);
    expect(late.outcome).toBe('rolled_back');
    expect(late.cause).toMatch(/still-stopped: fail. S2 master gate fail: open/);
    expect(await routes(engine)).toEqual(['iu_version_applied t ']);
    expect(await trigger(engine)).toBe('A');
    await engine.close();
  },
);

test(
  'while an operator keeps routes off by L2 the way back refuses, and the run ends disabled',
  LONG,
  async () => {
    const engine = await live();
    const stopped = await disable(engine);
    await applyFile(engine.sql, 'sql/iu-core/runtime/disable/l2_routes.sql');
    const refused = await undo(engine, stopped.runId);
    expect(refused.outcome).toBe('disabled');
    expect(refused.leftToDo[0]).toMatchObject({
      stepId: 'master-gate',
      what: expect.stringMatching(/L2 still keeps routes off: iu_version_applied/),
    });
    expect(await gates(engine)).toEqual(['false', 'false']);
    await applyFile(engine.sql, 'sql/iu-core/runtime/disable/l2_routes_back.sql');
    expect((await undo(engine, stopped.runId)).outcome).toBe('rolled_back');
    expect(await gates(engine)).toEqual(['true', 'true']);
    await engine.close();
  },
);

test(
  'it stops an outbox that is out of balance, and says so; what is lost since the stop holds the run',
  LONG,
  async () => {
    const engine = await live();
    await engine.sql.query('alter table unit_version disable trigger trg_iu_out_version');
    await engine.edit();
    expect(await balanced(engine)).toBe('false');
    const stopped = await disable(engine);
    expect(ended(stopped)).toEqual(['succeeded', '']);
    const said = await ask<string>(
      engine.sql,
      `select checks -> 4 ->> 'detail' as answer from sluice.step_receipt
       where run_id = '${stopped.runId}' and step_id = 'verify' and part = '' and direction = 'do'`,
    );
    expect(said).toMatch(/^0 versions since the stop.*balanced: FALSE, and it was before the stop/);

    await engine.edit();
    const handle = await startShipped(engine, 'disable-outbound');
    const { held } = await untilStatus(handle, (status) => status.held !== null);
    expect(held?.reason).toMatch(/S5 nothing lost fail: 6 versions since the stop, 6 of them without event/);
    await applyFile(engine.sql, 'sql/iu-core/runtime/disable/l3_triggers_back.sql');
    await send(handle, 'retryStep');
    expect(ended(await engine.outcome(handle))).toEqual(['succeeded', '']);
    await engine.close();
  },
);

test('each gate says no where its cause is there', LONG, async () => {
  const gatesOf = (macro: string) => `macros/${macro}/checks/mandatory-gates.sql`;
  const bare = await (await server.create(based)).connect();
  expect(verdicts(await readChecks(bare, gatesOf('disable-outbound')))).toEqual(['D1 fail', 'D2 fail']);
  expect(verdicts(await readChecks(bare, 'macros/disable-outbound/checks/stopped.sql'))).toEqual([
    'S1 fail',
    'S2 fail',
    'S3 not_run',
    'S4 not_run',
  ]);
  await bare.end();

  const sql = await (await server.create(inert)).connect();
  const pairs = ['disable-outbound', 'disable-outbound-fully'] as const;
  const all = async () => {
    const rows = [];
    for (const macro of pairs) rows.push(...(await readChecks(sql, gatesOf(macro))));
    return verdicts(rows);
  };
  expect(await all()).toEqual(['D1 pass', 'D2 pass', 'T1 pass', 'T2 pass']);
  await sql.query('set role iu_core_auditor');
  expect(await all()).toEqual(['D1 pass', 'D2 fail', 'T1 fail', 'T2 pass']);
  await sql.query('reset role');
  await sql.query(
    `create trigger trg_iu_out_other after update on information_unit
       for each row execute function fn_iu_append_only()`,
  );
  expect(await all()).toEqual(['D1 pass', 'D2 pass', 'T1 pass', 'T2 fail']);
  expect(verdicts(await readChecks(sql, 'macros/disable-outbound-fully/checks/fully-disabled.sql'))).toEqual([
    'R1 fail',
    'R2 fail',
    'R3 pass',
  ]);
  await sql.end();
});
