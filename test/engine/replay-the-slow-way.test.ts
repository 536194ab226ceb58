import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { replayOnce } from '../../replay/replay-once.ts';
import { inTransaction } from '../../target/in-transaction.ts';
import { ask } from '../sql-worker/support/worker.ts';
import type { TestEngine } from '../support/engine.ts';
import {
  attemptsOf,
  behave,
  deadLetters,
  effectsOf,
  planOf,
  replayingEngine,
  rowsOf,
} from './support/replays.ts';

vi.setConfig({ testTimeout: 60_000 });

let engine: TestEngine;
beforeAll(async () => {
  engine = await replayingEngine({ worker: false });
});
afterAll(() => engine.close());

const RUN = {
  workflowId: 'replay/a-test',
  runId: 'a-run',
  temporalNamespace: 'default',
  temporalAddress: 'nowhere',
  temporalClusterId: 'none',
};

/** One batch with short limits, in a session of its own. */
async function once(planHash: string, limit: number) {
  const client = await engine.database.connect();
  const limits = { schema: 'public', lockTimeoutMs: 1_000, statementTimeoutMs: 500 };
  try {
    return await replayOnce(client, (mode, work) => inTransaction(client, mode, limits, work), limit, {
      planHash,
      runId: RUN.runId,
      until: 'end',
      window: 100,
      statementTimeoutMs: limits.statementTimeoutMs,
      letterTimeoutMs: 200,
      signal: new AbortController().signal,
    });
  } finally {
    await client.end();
  }
}

async function opened(route: string, policy: object): Promise<string> {
  const planHash = await planOf(engine, route, policy);
  await engine.sql.query(`select fn_iu_replay_open($1, $2, 'ana', 'a test')`, [
    planHash,
    JSON.stringify(RUN),
  ]);
  return planHash;
}

test('letters that hang fail alone, each after its own time; the others are resolved', async () => {
  await deadLetters(engine, 'hangs', 10);
  await behave(engine, 'hangs for odd ones');
  const planHash = await opened('hangs', { failureLimit: 100 });
  expect(await once(planHash, 10)).toMatchObject({
    taken: 10,
    progress: { resolved: 5, failed: 5, tries: 10 },
  });
  expect(await once(planHash, 10)).toMatchObject({ status: 'executed' });
  expect(await attemptsOf(engine, 'hangs')).toEqual(['1 failed: 10', '2 failed: 5', '2 sent: 5']);
  expect(await effectsOf(engine, 'hangs')).toEqual({ calls: 5, keys: 5 });
  const details = `select jsonb_agg(distinct failure_detail ->> 'sqlstate') as answer
    from iu_route_dead_letter where route_code = 'hangs' and state = 'open'`;
  expect(await ask<string[]>(engine.sql, details)).toEqual(['57014']);
});

test('a failure limit ends it between two letters, not after the batch', async () => {
  await deadLetters(engine, 'limited', 20);
  await behave(engine, 'hangs for odd ones');
  const planHash = await opened('limited', { failureLimit: 2 });
  const { taken } = await once(planHash, 20);
  expect(taken).toBeLessThan(20);
  expect(await once(planHash, 20)).toMatchObject({ status: 'stopped', taken: 0 });
  expect((await rowsOf(engine, planHash)).failed).toBe(3);
});

test('letters that do not hang go the fast way', async () => {
  await deadLetters(engine, 'fast', 10);
  await behave(engine, 'sends');
  const planHash = await opened('fast', { failureLimit: 10 });
  expect(await once(planHash, 10)).toMatchObject({
    status: 'working',
    taken: 10,
    progress: { resolved: 10 },
  });
});
