import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { installed } from '../sql-worker/support/installed.ts';
import { ask, runWorker } from '../sql-worker/support/worker.ts';
import type { TestDatabase } from '../support/create-database.ts';
import { buildApp, effects, functionRoute } from './support/app-function.ts';
import { ROUTE, tell } from './support/deliveries.ts';

vi.setConfig({ testTimeout: 60_000 });

const REFUSES_TWO = `
  create function app.refuse_two() returns trigger language plpgsql as $$
  begin
    if new.request #>> '{safe_payload,n}' = '2' then raise exception 'two is refused'; end if;
    return null;
  end $$;
  create constraint trigger refuse_two after insert on app.effect
    deferrable initially deferred for each row execute function app.refuse_two()`;

describe.each([15, 18] as const)(
  'a constraint of a target that waits for COMMIT, on PostgreSQL %i',
  (major) => {
    let database: TestDatabase;
    let client: pg.Client;
    beforeEach(async () => {
      database = await installed(major, 'delivering');
      client = await database.connect();
      await buildApp(client);
      await functionRoute(client, ROUTE);
      await client.query(REFUSES_TWO);
      for (const n of [1, 2, 3]) await tell(client, 1, { n });
    });
    afterEach(async () => {
      await database.drop();
    });

    test('makes a dead letter of the event that violates it, and the others are delivered', async () => {
      expect(await runWorker(client)).toMatchObject({ status: 'ran', seen: 3, dead_lettered: 1 });
      expect(await effects(client)).toEqual(['1', '3']);
      expect(
        await ask(client, `select failure_detail ->> 'message' as answer from iu_route_dead_letter`),
      ).toBe('two is refused');
    });

    test('fails a replay while it is violated, and lets it through afterwards', async () => {
      await runWorker(client);
      const replay = `select fn_iu_route_dead_letter_replay(dead_letter_id, 'ana', 'a test') as answer from iu_route_dead_letter`;
      expect(await ask(client, replay)).toMatchObject({ decision: 'failed', attempt_no: 2 });
      await client.query('drop trigger refuse_two on app.effect');
      expect(await ask(client, replay)).toMatchObject({ decision: 'sent', resolved: true, attempt_no: 3 });
      expect(await effects(client)).toEqual(['1', '3', '2']);
    });
  },
);
