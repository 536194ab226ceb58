import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { MacroStatus } from '../../contracts/macro-run.ts';
import { gateAnswer, startReceiver } from '../delivery-activity/support/receiver.ts';
import { ask, emit, runWorker } from '../sql-worker/support/worker.ts';
import type { TestEngine } from '../support/engine.ts';
import { pending, send, statusOf, untilStatus, untilStep } from '../support/engine-facts.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  allow,
  balanced,
  configure,
  LOCAL,
  liveTemplate,
  ROUTE,
  received,
  seamTemplate,
} from './delivery-support/delivering.ts';
import {
  attempts,
  BROKEN,
  deadLetters,
  FAILS_FOR_BAD,
  mend,
  planReplay,
  progressOf,
  replayTemplate,
} from './replay-support/replaying.ts';
import { installedEngine } from './support/installed.ts';
import { checksOf, configuration, fingerprint, verdictsOf, verifiedEvidence } from './support/iu-facts.ts';
import { type OwnServer, ownServer } from './support/own-server.ts';
import { follow, type Handle, runShipped, startShipped } from './support/shipped-macros.ts';

const LONG = { timeout: 240_000 };
const ids = (letter: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `${letter}${from + index} pass`);
const short = (verdicts: readonly string[]) =>
  verdicts.map((line) => line.replace(/^([A-Z]\d+) .* (\w+)$/, '$1 $2'));
const states = ({ steps }: MacroStatus) => steps.map(({ id, state }) => `${id} ${state}`);
const ended = ({ outcome, cause }: MacroStatus) => [outcome, cause];
const PROVEN = [
  'Z0 pass',
  'P7 pass',
  ...ids('Z', 1, 8),
  'POST-ROLLBACK pass',
  'POST-ROLLBACK gates pass',
  'POST-ROLLBACK guard pass',
];

describe.each([15, 18] as const)('on PostgreSQL %i', LONG, (major) => {
  /** What is the engine's or the plan's, and no server's: on one of them. */
  const onOne = test.runIf(major === 15);
  let server: OwnServer;
  /** With the seam built; and with planned replays installed. */
  let seamed: string;
  let replaying: string;
  let engine: Awaited<ReturnType<typeof installedEngine>> | undefined;
  beforeAll(async () => {
    server = await ownServer(major);
    seamed = await seamTemplate(server, await liveTemplate(server));
    replaying = await replayTemplate(server, seamed);
  }, 240_000);
  afterAll(() => server.stop());
  afterEach(async () => {
    await engine?.abandon();
    await engine?.close();
    engine = undefined;
  });
  const opened = async (template: string) => {
    engine = await installedEngine(server, template);
    return engine;
  };
  const undo = async (on: TestEngine, runId: string | null) => on.outcome(await on.undo(runId ?? ''));
  const approve = async (handle: Handle, actor = 'bo') => {
    await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null, 60_000);
    await send(handle, 'approve', { ...(await pending(handle)), actor });
  };
  /** Runs of plans as `<workflow>: <outcome>`, oldest first. */
  const runs = (on: TestEngine) =>
    ask<string[]>(
      on.sql,
      `select coalesce(array_agg(regexp_replace(workflow_id, '^.*/', '') || ': ' || coalesce(outcome, 'running')
         order by started_at), '{}') as answer
       from iu_replay_run`,
    );
  /** Until then nothing that is in flight is to be answered: the run would have ended before it is stopped. */
  const askedToStop = (on: TestEngine, planHash: string) =>
    waitFor(
      () => ask(on.sql, 'select stops_by as answer from iu_replay_progress where plan_hash = $1', [planHash]),
      60_000,
    );
  /** Letters that a function fails to take, planned once it is mended. */
  const planned = async (payloads: readonly object[] = [{}, {}, {}], policy = {}, answer?: string) => {
    const on = await opened(replaying);
    await deadLetters(on.sql, payloads);
    await mend(on.sql, answer);
    return { on, planHash: await planReplay(on.sql, policy) };
  };

  test('dead-letter-replay is installed inert beside open dead letters, and again where it holds', async () => {
    const on = await opened(seamed);
    await deadLetters(on.sql, [{}, {}]);
    const status = await runShipped(on, 'dead-letter-replay');
    expect(ended(status)).toEqual(['succeeded', '']);
    expect(short(await verdictsOf(on, status.runId, 'mandatory-gates'))).toEqual(ids('J', 1, 7));
    expect(short(await verdictsOf(on, status.runId, 'probe'))).toEqual(PROVEN);
    expect(short(await verdictsOf(on, status.runId, 'verify'))).toEqual(ids('N', 1, 7));
    expect((await verifiedEvidence(on, status.runId)).run.outcome).toBe('succeeded');
    expect(await attempts(on.sql)).toEqual(['1 failed: 2']);
    expect(await received(on.sql)).toBe(0);

    const again = await runShipped(on, 'dead-letter-replay');
    expect(ended(again)).toEqual(['succeeded', '']);
    expect(states(again)).toContain('install-012 already_applied');
    expect(short(await verdictsOf(on, again.runId, 'probe'))).toEqual(PROVEN);
  });

  test('dead-letter-replay is taken back whole: every definition and setting is as before', async () => {
    const on = await opened(seamed);
    const before = async () => ({ print: await fingerprint(on), config: await configuration(on) });
    const was = await before();
    const { runId } = await runShipped(on, 'dead-letter-replay');
    expect(await fingerprint(on)).not.toBe(was.print);
    expect((await undo(on, runId)).outcome).toBe('rolled_back');
    expect(await before()).toEqual(was);
    expect(ended(await runShipped(on, 'dead-letter-replay'))).toEqual(['succeeded', '']);
  });

  test('once a plan was made, dead-letter-replay is disabled instead, with every function still there', async () => {
    const on = await opened(seamed);
    const { runId } = await runShipped(on, 'dead-letter-replay');
    await deadLetters(on.sql, [{}]);
    const planHash = await planReplay(on.sql);
    const refused = await undo(on, runId);
    expect(refused.outcome).toBe('disabled');
    expect(refused.leftToDo.map(({ stepId }) => stepId)).toEqual(['install-012']);
    expect(
      await ask(on.sql, `select fn_iu_replay_read($1) #>> '{progress,state}' as answer`, [planHash]),
    ).toBe('planned');
    expect(await ask(on.sql, `select fn_iu_replay_mode($1) as answer`, [ROUTE])).toBe('master_gate_closed');
  });

  test('replay-after-fix replays the canary and the rest of what was mended, and records who approved', async () => {
    const { on, planHash } = await planned();
    const status = await runShipped(on, 'replay-after-fix');
    expect([...ended(status), states(status).join(', ')]).toEqual([
      'succeeded',
      '',
      expect.not.stringMatching(/failed|pending|undo/),
    ]);
    expect(short(await verdictsOf(on, status.runId, 'mandatory-gates'))).toEqual(ids('X', 1, 9));
    expect(short(await verdictsOf(on, status.runId, 'canary-passed'))).toEqual(ids('Y', 1, 3));
    expect(short(await verdictsOf(on, status.runId, 'verify'))).toEqual(ids('Y', 4, 9));
    expect(await progressOf(on.sql, planHash)).toBe(
      'executed: resolved 3, failed 0, skipped 0, waiting 0, canary passed, approved by bo',
    );
    expect(await runs(on)).toEqual(['canary: canary_passed', 'rest: executed']);
    expect(
      await ask(
        on.sql,
        `select array_agg(format('%s: %s', actor, regexp_replace(reason, '\\d+', 'N')) order by run_no) as answer from iu_replay_run`,
      ),
    ).toEqual([
      'ana: macro replay-after-fix, run N, step canary',
      'ana: macro replay-after-fix, run N, step rest',
    ]);
    expect(await attempts(on.sql)).toEqual(['1 failed: 3', '2 sent: 3']);
    expect(await received(on.sql)).toBe(3);
    expect(await balanced(on.sql)).toBe('true');
    expect((await verifiedEvidence(on, status.runId)).run.outcome).toBe('succeeded');

    // Taken back afterwards, nothing is undone: what went out is history, and so is the approval of an executed plan.
    expect((await undo(on, status.runId)).outcome).toBe('rolled_back');
    expect(await progressOf(on.sql, planHash)).toMatch(/^executed: resolved 3.*approved by bo$/);
    const without = await runShipped(on, 'replay-after-fix');
    expect(ended(without)).toEqual([
      'rolled_back',
      expect.stringMatching(/X2 one plan fail.*no plan is open; newest: [0-9a-f]{12} is executed/),
    ]);
  });

  onOne(
    'a plan that is nothing but its canary is replayed by the canary, and the rest finds nothing',
    async () => {
      const { on, planHash } = await planned([{}]);
      expect(ended(await runShipped(on, 'replay-after-fix'))).toEqual(['succeeded', '']);
      expect(await progressOf(on.sql, planHash)).toMatch(/^executed: resolved 1/);
      expect(await received(on.sql)).toBe(1);
    },
  );

  test('a canary that fails turns the macro back: the plan is stopped, the rest was not touched', async () => {
    const { on, planHash } = await planned([{}, {}, {}], {}, BROKEN);
    const status = await runShipped(on, 'replay-after-fix');
    expect(ended(status)).toEqual([
      'rolled_back',
      expect.stringMatching(/Step canary-passed: fail.*ended as stopped.*worker_process_error/s),
    ]);
    expect(await progressOf(on.sql, planHash)).toBe(
      'stopped: resolved 0, failed 1, skipped 0, waiting 2, canary failed, approved by bo',
    );
    expect(await runs(on)).toEqual(['canary: stopped']);
    expect(await attempts(on.sql)).toEqual(['1 failed: 3', '2 failed: 1']);
    expect(await balanced(on.sql)).toBe('true');
  });

  onOne(
    'letters that still fail within the limit are listed with why; above it the plan is stopped and says so',
    async () => {
      const letters = [{}, {}, {}, { bad: 1 }, { bad: 2 }];
      const { on, planHash } = await planned(letters, { canary: 1 }, FAILS_FOR_BAD);
      const status = await runShipped(on, 'replay-after-fix');
      expect(ended(status)).toEqual(['succeeded', '']);
      expect(await progressOf(on.sql, planHash)).toMatch(/^executed: resolved 3, failed 2/);
      const open = (await checksOf(on, status.runId, 'verify')).find(({ checkId }) =>
        checkId.startsWith('Y6'),
      );
      expect(open?.detail).toMatch(
        /^2 letters are still open, 0 of them without a reason: 2 of iu_version_applied \S+ failed: worker_process_error\. ([0-9a-f-]{36} \(failed after 1 tries: worker_process_error\)(, )?){2}$/,
      );
      expect(await received(on.sql)).toBe(3);

      await mend(on.sql, BROKEN);
      const second = await planReplay(on.sql, { canary: 0, failureLimit: 0 });
      const stopped = await runShipped(on, 'replay-after-fix');
      expect(ended(stopped)).toEqual([
        'rolled_back',
        expect.stringMatching(/Y4 plan executed fail.*is stopped/s),
      ]);
      expect(await progressOf(on.sql, second)).toMatch(/^stopped: resolved 0/);
    },
  );

  onOne(
    'a route that is changed while the approval is waited for turns the macro back before anything is tried',
    async () => {
      const { on, planHash } = await planned();
      const handle = await startShipped(on, 'replay-after-fix');
      await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null, 60_000);
      await on.sql.query(
        `update iu_outbound_route set config = '{"timeout_ms": 5000}' where route_code = $1`,
        [ROUTE],
      );
      await approve(handle);
      expect(ended(await on.outcome(handle))).toEqual([
        'rolled_back',
        expect.stringMatching(
          /mandatory-gates passed before the wait and is fail after it.*X4 fresh fail.*changed/s,
        ),
      ]);
      expect(await progressOf(on.sql, planHash)).toMatch(/^planned: .*approved by nobody$/);
      expect(await runs(on)).toEqual([]);
    },
  );

  onOne('another plan in the place of the one that was shown turns the macro back', async () => {
    const { on, planHash } = await planned();
    const handle = await startShipped(on, 'replay-after-fix');
    await untilStatus(handle, ({ pendingApproval }) => pendingApproval !== null, 60_000);
    await on.sql.query(`update iu_replay_progress set state = 'stopped' where plan_hash = $1`, [planHash]);
    const other = await planReplay(on.sql, {}, { maxLetters: 1 });
    await approve(handle);
    expect(ended(await on.outcome(handle))).toEqual([
      'rolled_back',
      expect.stringMatching(/X3 the plan that was shown fail/),
    ]);
    expect(await progressOf(on.sql, other)).toMatch(/^planned: .*approved by nobody$/);
    expect(await received(on.sql)).toBe(0);
  });

  onOne('who made the plan cannot approve it, whoever started the macro', async () => {
    const { on, planHash } = await planned();
    const handle = await startShipped(on, 'replay-after-fix');
    await approve(handle, 'cleo');
    expect(ended(await on.outcome(handle))).toEqual([
      'rolled_back',
      expect.stringMatching(/Step record-approval: fail.*cleo has made it/s),
    ]);
    expect(await progressOf(on.sql, planHash)).toMatch(/^planned: .*approved by nobody$/);
    expect(await received(on.sql)).toBe(0);
  });

  onOne('a plan above the limit of letters is replayed with the approval of the macro', async () => {
    const on = await opened(replaying);
    await on.sql.query(`update dot_config set value = '1' where key = 'iu_core.replay_approval_above'`);
    await deadLetters(on.sql, [{}, {}]);
    await mend(on.sql);
    const planHash = await planReplay(on.sql);
    expect(ended(await runShipped(on, 'replay-after-fix'))).toEqual(['succeeded', '']);
    expect(await progressOf(on.sql, planHash)).toMatch(/^executed: resolved 2.*approved by bo$/);
  });

  onOne('of several plans the one that the steps name is replayed, and the others stay', async () => {
    const { on, planHash } = await planned([{}, {}, {}]);
    const other = await planReplay(on.sql, {}, { maxLetters: 1 });
    const named = { 'canary.input.planHash': planHash, 'rest.input.planHash': planHash };
    const status = await follow(await startShipped(on, 'replay-after-fix', named));
    expect(ended(status)).toEqual(['succeeded', '']);
    expect(await progressOf(on.sql, planHash)).toMatch(/^executed: resolved 3/);
    expect(await progressOf(on.sql, other)).toMatch(/^planned: resolved 0/);
  });

  onOne(
    'a gate that is closed meanwhile holds the replay with its name, and it goes on when the gate opens',
    async () => {
      const { on, planHash } = await planned();
      const gate = (value: string) =>
        on.sql.query('update dot_config set value = $1 where key = $2', [value, 'iu_core.delivery_enabled']);
      // Closed in the moment in which the canary is opened.
      await on.sql.query(
        `create function close_gate() returns trigger language plpgsql as $$ begin
         update dot_config set value = 'false' where key = 'iu_core.delivery_enabled'; return null; end $$;
       create trigger close_gate after insert on iu_replay_run for each row execute function close_gate()`,
      );
      const handle = await startShipped(on, 'replay-after-fix');
      await approve(handle);
      await waitFor(
        async () =>
          (await ask(on.sql, 'select gate_because as answer from iu_replay_progress where plan_hash = $1', [
            planHash,
          ])) !== null,
        60_000,
      );
      expect(await received(on.sql)).toBe(0);
      await on.sql.query('drop trigger close_gate on iu_replay_run; drop function close_gate');
      await gate('true');
      expect(ended(await on.outcome(handle))).toEqual(['succeeded', '']);
      expect(await progressOf(on.sql, planHash)).toMatch(/^executed: resolved 3/);
    },
  );

  /** Five letters of an endpoint that has refused them, which takes so many more and then does not answer. */
  const refusedByHttp = async (takes: number) => {
    const on = await opened(replaying);
    const silent = gateAnswer();
    const endpoint = await startReceiver(() => 400);
    configure(on, { ...LOCAL, concurrency: 1 });
    await allow(on.sql, 'external_endpoint', endpoint.url, { allow_http: true, timeout_ms: 60_000 });
    await on.sql.query(`update dot_config set value = 'true' where key = 'iu_core.delivery_enabled'`);
    await on.sql.query('update iu_outbound_route set dry_run = false');
    for (let number = 0; number < 5; number += 1) await emit(on.sql);
    await runWorker(on.sql);
    const delivered = await on.client.workflow.start('deliver', {
      workflowId: `deliver/${on.target}`,
      taskQueue: on.taskQueue,
      args: [{ target: on.target, forMs: 0, idleMs: 50 }],
    });
    await delivered.result();
    expect(await attempts(on.sql)).toEqual(['1 failed: 5']);
    await on.sql.query('delete from iu_route_breaker');
    const first = endpoint.ledger.length;
    let answered = 0;
    endpoint.answer = (...request) => {
      answered += 1;
      return answered <= takes ? 204 : silent.answer(...request);
    };
    return { on, silent, endpoint, first, planHash: await planReplay(on.sql) };
  };

  test('cancelled during the rest it ends cleanly, and started again it goes on with the same plan and repeats nothing', async () => {
    const { on, silent, endpoint, first, planHash } = await refusedByHttp(2);
    const handle = await startShipped(on, 'replay-after-fix');
    await approve(handle);
    await untilStep(handle, 'rest', 'running', 120_000);
    await waitFor(async () => endpoint.open === 1, 60_000);
    await handle.cancel();
    await askedToStop(on, planHash);
    silent.open();
    const status = await on.outcome(handle);
    expect(ended(status)).toEqual(['rolled_back', 'cancelled']);
    expect((await statusOf(handle)).leftToDo).toEqual([]);
    expect(await runs(on)).toEqual(['canary: canary_passed', 'rest: cancelled']);
    expect(await progressOf(on.sql, planHash)).toMatch(/^cancelled: .*canary passed, approved by nobody$/);
    expect(await ask(on.sql, 'select count(*)::int as answer from iu_route_delivery')).toBe(0);
    expect(await balanced(on.sql)).toBe('true');
    const done = await ask<number>(
      on.sql,
      `select resolved as answer from iu_replay_progress where plan_hash = $1`,
      [planHash],
    );
    expect(done).toBeGreaterThanOrEqual(2);
    expect(done).toBeLessThan(5);

    endpoint.answer = () => 204;
    expect(ended(await runShipped(on, 'replay-after-fix'))).toEqual(['succeeded', '']);
    expect(await progressOf(on.sql, planHash)).toBe(
      'executed: resolved 5, failed 0, skipped 0, waiting 0, canary passed, approved by bo',
    );
    expect(await runs(on)).toEqual([
      'canary: canary_passed',
      'rest: cancelled',
      'canary: canary_passed',
      'rest: executed',
    ]);
    expect(endpoint.keys().size).toBe(5);
    expect(endpoint.ledger.length - first).toBe(5);
    expect(await attempts(on.sql)).toEqual(['1 failed: 5', '2 sent: 5']);
    await endpoint.close();
  });

  onOne(
    'terminated during the canary, its replay ends by itself, and its undo takes the approval back',
    async () => {
      const { on, silent, endpoint, planHash } = await refusedByHttp(0);
      const handle = await startShipped(on, 'replay-after-fix');
      await approve(handle);
      await waitFor(async () => endpoint.open === 1, 60_000);
      const { runId } = await statusOf(handle);
      await handle.terminate('a test');
      await askedToStop(on, planHash);
      silent.open();
      expect((await undo(on, runId)).outcome).toBe('rolled_back');
      await waitFor(async () => (await progressOf(on.sql, planHash)).startsWith('cancelled'), 60_000);
      expect(await progressOf(on.sql, planHash)).toMatch(/approved by nobody$/);
      expect(await runs(on)).toEqual(['canary: cancelled']);
      expect(await ask(on.sql, 'select count(*)::int as answer from iu_route_delivery')).toBe(0);

      endpoint.answer = () => 204;
      expect(ended(await runShipped(on, 'replay-after-fix'))).toEqual(['succeeded', '']);
      expect(await progressOf(on.sql, planHash)).toMatch(/^executed: resolved 5/);
      expect(endpoint.keys().size).toBe(5);
      await endpoint.close();
    },
  );
});
