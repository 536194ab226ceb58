import { approve, change, check, noBackup, observe, type TestEngine } from './engine.ts';
import { reports, send, table, untilStatus, untilStep } from './engine-facts.ts';

type Handle = Awaited<ReturnType<TestEngine['start']>>;

/** Names of the saved histories; each file is `<scenario>-<release>.json`. */
export const SCENARIOS = ['success', 'fail-and-undo', 'cancel', 'hold', 'undo-of-an-ended-run'] as const;
export type Scenario = (typeof SCENARIOS)[number];

/** Runs each scenario to its end and returns the handle of the run that it is about. */
export const PLAY: Readonly<Record<Scenario, (engine: TestEngine) => Promise<Handle>>> = {
  async success(engine) {
    const metric = {
      name: 'backlog',
      unit: 'events',
      script: engine.script('select 0 as value'),
      pass: { max: 0 },
    };
    const handle = await engine.start(
      await engine.plan([
        check('gate', [reports(engine, 'pass')]),
        noBackup(),
        change('one', [table(engine, 't_one')]),
        check('probe', [reports(engine, 'pass')], { kind: 'probe' }),
        approve(),
        change('two', [table(engine, 't_two')], { kind: 'enable' }),
        observe('watch', [{ ...metric, consecutiveSuccess: 1, failureLimit: 0 }], {
          windowMs: 300,
          intervalMs: 100,
        }),
        check('proof', [reports(engine, 'pass')], { kind: 'verify' }),
      ]),
    );
    await approvePending(handle);
    return ended(engine, handle);
  },
  async 'fail-and-undo'(engine) {
    const broken = { do: engine.script('select 1/0', 'broken.sql'), undo: engine.script('select 1') };
    const steps = [noBackup(), change('one', [table(engine, 't_one')]), change('broken', [broken])];
    return ended(engine, await engine.start(await engine.plan(steps)));
  },
  async cancel(engine) {
    const handle = await engine.start(
      await engine.plan([noBackup(), change('one', [table(engine, 't_one')]), approve()]),
    );
    await untilStep(handle, 'approval', 'waiting');
    await handle.cancel();
    return ended(engine, handle);
  },
  async hold(engine) {
    const handle = await engine.start(
      await engine.plan([
        noBackup(),
        approve(),
        change('one', [table(engine, 't_one')]),
        check('gate', [reports(engine, 'inconclusive')]),
      ]),
    );
    await untilStep(handle, 'approval', 'waiting');
    await send(handle, 'hold');
    await approvePending(handle);
    await untilStatus(handle, ({ phase }) => phase === 'held');
    await send(handle, 'release');
    await untilStep(handle, 'gate', 'waiting');
    await send(handle, 'retryStep');
    await untilStatus(handle, ({ steps, held }) => held !== null && (steps.at(-1)?.attempts ?? 0) > 1);
    await send(handle, 'rollback');
    return ended(engine, handle);
  },
  async 'undo-of-an-ended-run'(engine) {
    const first = await engine.start(
      await engine.plan([noBackup(), change('one', [table(engine, 't_one')])]),
    );
    const { runId } = await engine.outcome(first);
    return ended(engine, await engine.undo(runId ?? ''));
  },
};

async function approvePending(handle: Handle): Promise<void> {
  const { planHash, pendingApproval } = await untilStatus(
    handle,
    (status) => status.pendingApproval !== null,
  );
  await send(handle, 'approve', { planHash, fingerprint: pendingApproval?.fingerprint });
}

async function ended(engine: TestEngine, handle: Handle): Promise<Handle> {
  await engine.outcome(handle);
  return handle;
}
