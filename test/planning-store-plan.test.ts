import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type BuiltPlan, buildPlan } from '../planning/build-plan.ts';
import { loadPlan, loadScript } from '../planning/load-plan.ts';
import { storePlan } from '../planning/store-plan.ts';
import { installEngine } from '../target/install-engine.ts';
import { rejection } from './fixtures/planning/rejection.ts';
import { copyWidget } from './fixtures/planning/write-macro.ts';
import { createDatabase, type TestDatabase } from './support/create-database.ts';

const build = async (target = 'local'): Promise<BuiltPlan> =>
  buildPlan({ manifestPath: await copyWidget(), target, schema: 'public' });

describe.each([[15], [18]] as const)('on PostgreSQL %i', (major) => {
  let database: TestDatabase;
  let client: Awaited<ReturnType<TestDatabase['connect']>>;
  beforeAll(async () => {
    database = await createDatabase({ major, prefix: 'planning' });
    client = await database.connect();
    await installEngine(client);
  });
  afterAll(() => database.drop());

  const counts = async () => {
    const { rows } = await client.query(
      'select (select count(*)::int from sluice.script) as scripts, (select count(*)::int from sluice.plan) as plans',
    );
    return rows[0];
  };
  /** Changes a stored row behind the back of the guards, for as long as `work` takes. */
  const withTampered = async (change: string, work: () => Promise<void>) => {
    await client.query(`begin; set local session_replication_role = replica;
      alter table sluice.script drop constraint sha256_is_of_the_body;
      alter table sluice.plan drop constraint plan_hash_is_of_the_canonical_text;
      alter table sluice.script disable trigger all; alter table sluice.plan disable trigger all`);
    try {
      await client.query(change);
      await work();
    } finally {
      await client.query('rollback');
    }
  };

  test('a stored plan and its texts are read back as they were', async () => {
    const built = await build();
    expect(await storePlan(client, built, { actor: 'ada' })).toEqual({ stored: 'new' });
    expect(await loadPlan(client, built.planHash)).toEqual(built.plan);
    for (const [sha256, text] of built.scripts) expect(await loadScript(client, sha256)).toBe(text);
    const { rows } = await client.query(
      'select macro, target, planned_by from sluice.plan where plan_hash = $1',
      [built.planHash],
    );
    expect(rows).toEqual([{ macro: 'widget', target: 'local', planned_by: 'ada' }]);
  });

  test('storing it again changes nothing, and another plan shares its texts', async () => {
    const built = await build();
    await storePlan(client, built, { actor: 'ada' });
    const before = await counts();
    expect(await storePlan(client, built, { actor: 'grace' })).toEqual({ stored: 'already_there' });
    expect(await counts()).toEqual(before);
    await storePlan(client, await build('other'), { actor: 'ada' });
    expect(await counts()).toEqual({ scripts: before.scripts, plans: before.plans + 1 });
  });

  test('a plan that nobody claims is refused, with nothing stored', async () => {
    const before = await counts();
    const error = await rejection(storePlan(client, await build('nobody'), { actor: ' ' }));
    expect(error.code).toBe('usage');
    expect(await counts()).toEqual(before);
  });

  test('a text that was changed in the target is not executed', async () => {
    const built = await build();
    await storePlan(client, built, { actor: 'ada' });
    const [sha256 = ''] = built.scripts.keys();
    await withTampered("update sluice.script set body = body || ' '", async () => {
      expect((await rejection(loadScript(client, sha256))).code).toBe('script_tampered');
    });
    await withTampered(
      `update sluice.plan set canonical = replace(canonical, '"public"', '"other"')`,
      async () => {
        expect((await rejection(loadPlan(client, built.planHash))).code).toBe('script_tampered');
      },
    );
    await expect(loadScript(client, sha256)).resolves.toBeDefined();
  });

  test('an unknown hash is said to be unknown', async () => {
    expect((await rejection(loadPlan(client, 'f'.repeat(64)))).code).toBe('plan_not_found');
    expect((await rejection(loadScript(client, 'f'.repeat(64)))).code).toBe('script_missing');
  });

  test('a target without the engine is told to run init', async () => {
    const bare = await createDatabase({ major, prefix: 'planning_bare' });
    const error = await rejection(storePlan(await bare.connect(), await build(), { actor: 'ada' }));
    expect(error.code).toBe('engine_schema_missing');
    await bare.drop();
  });
});
