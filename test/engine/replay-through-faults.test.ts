import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { REPLAY_DEFAULTS } from '../../contracts/replay.ts';
import { CHAOS_ROUTES } from '../chaos/replay/expected.ts';
import { replayFailures, replayFigures, verdictFailures } from '../chaos/replay/failures.ts';
import { quietReplay } from '../chaos/replay/quiet-replay.ts';
import { approvedPlan, runReplayChaos } from '../chaos/replay/run-replay-chaos.ts';
import { replayVerdict } from '../chaos/replay/verdict.ts';
import { ask } from '../sql-worker/support/worker.ts';
import { waitFor } from '../support/wait-for.ts';
import { workflowBundle } from '../support/workflow-bundle.ts';
import { rowsOf, runsOf } from './support/replays.ts';

test('5,000 letters of five kinds survive killed workers, a PostgreSQL that is killed and a Temporal that is restarted', {
  timeout: 600_000,
  // What is lost once in a while is lost.
  retry: 0,
}, async () => {
  const seed = randomInt(2 ** 31);
  process.stdout.write(`chaos replay: seed ${seed}\n`);
  const report = await runReplayChaos({
    seed,
    letters: 5_000,
    bundlePath: (await workflowBundle()).codePath,
    ratePerSecond: 500,
    killEveryMs: 4_000,
    workMs: 2_000,
    mostKills: 4,
    sliceMs: 1_000,
    slicesPerRun: 4,
    sampleEveryMs: 250,
  });
  process.stdout.write(`chaos replay: ${replayFigures(report)}\n`);
  expect(replayFailures(report)).toEqual([]);
  expect(report.verdict).toMatchObject({ letters: 5_000, resolved: 4_700, failed: 300, tries: 6_900 });
  // Nothing of that would say much if nothing had happened.
  expect(report).toMatchObject({ crashes: 1, restarts: 1, status: 'COMPLETED' });
  expect(report.kills).toBeGreaterThanOrEqual(2);
  expect(report.chain.length).toBeGreaterThan(2);
  expect(report.samples.answered.rows).toBeGreaterThan(20);
  expect(report.samples.answered.query).toBeGreaterThan(5);
});

/** Letters of one transaction, and so the most that may be tried once a run is to stop. */
const BATCH = REPLAY_DEFAULTS.batchSize;

test('cancelled as the Temporal UI does it, at full speed: it stops within one batch, and new runs repeat nothing', {
  timeout: 180_000,
}, async () => {
  const quiet = await quietReplay(5_000);
  try {
    const { engine, receiver, arrivedBefore } = quiet;
    const planHash = await approvedPlan(engine.sql, null);

    const calling = await quiet.start(planHash);
    await waitFor(async () => (await rowsOf(engine, planHash)).tries > BATCH);
    await calling.cancel();
    await expect(calling.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });

    const delivering = await quiet.start(planHash);
    await waitFor(async () => receiver.arrivals.length > arrivedBefore + 100);
    await delivering.cancel();
    await expect(delivering.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });

    const stopped = await rowsOf(engine, planHash);
    expect(stopped).toMatchObject({ state: 'cancelled', inFlight: 0, skipped: 0 });
    expect(stopped.waiting).toBeGreaterThan(0);
    expect(await ask<number>(engine.sql, LEFT_SQL)).toBe(0);
    const tries = await triesAfterStops(engine.sql, planHash);
    process.stdout.write(`cancelled: ${JSON.stringify(tries)} tries after it was to stop\n`);
    expect(tries).toHaveLength(2);
    for (const { functions, deliveries } of tries) {
      // Who asks it to stop waits for the batch at work, so that of functions nothing comes after it.
      expect(functions).toBe(0);
      expect(deliveries).toBeLessThanOrEqual(BATCH);
    }
    // What arrived is settled, each request as a try.
    expect(receiver.arrivals.length - arrivedBefore).toBe(await deliveriesTried(engine.sql));

    const rest = await quiet.start(planHash);
    expect(await rest.result()).toMatchObject({ outcome: 'executed', resolved: 4_700, failed: 300 });
    expect(await runsOf(engine, planHash)).toEqual(['cancelled', 'cancelled', 'executed']);
    const arrivals = receiver.arrivals.slice(arrivedBefore);
    const verdict = await replayVerdict({ sql: engine.sql, planHash, arrivals, kills: [] });
    expect(verdictFailures(verdict)).toEqual([]);
    expect(verdict).toMatchObject({ letters: 5_000, tries: 6_900, repeated: 0 });
  } finally {
    await quiet.close();
  }
});

type Sql = Parameters<typeof ask>[0];

const LEFT_SQL = `
  select (select count(*) from iu_route_delivery)::integer + (select count(*) from iu_route_lease)::integer as answer`;

/** For each run that was cancelled, tries that were recorded from then on until the next run was opened. */
function triesAfterStops(sql: Sql, planHash: string): Promise<{ functions: number; deliveries: number }[]> {
  return ask(
    sql,
    `with stopping as (
       select at, lead(at, 1, 'infinity') over (order by story_id) as until, what
       from iu_replay_story
       where plan_hash = $1 and what in ('opened', 'cancel')
     )
     select jsonb_agg(tries order by at) as answer
     from (
       select
         stopping.at,
         jsonb_build_object(
           'functions', count(attempt.event_id) filter (where target_kind = 'sql_function'),
           'deliveries', count(attempt.event_id) filter (where target_kind = 'external_endpoint')) as tries
       from stopping
       left join iu_route_attempt as attempt
         on attempt.created_at > stopping.at and attempt.created_at < stopping.until
       where stopping.what = 'cancel'
       group by stopping.at
     ) as counted`,
    [planHash],
  );
}

function deliveriesTried(sql: Sql): Promise<number> {
  const endpoints = Object.keys(CHAOS_ROUTES).filter(
    (code) => CHAOS_ROUTES[code]?.kind === 'external_endpoint',
  );
  return ask(
    sql,
    `select count(*)::integer as answer from iu_route_attempt where attempt_no > 1 and route_code = any ($1)`,
    [endpoints],
  );
}
