import type { Contestant } from '../drain/contestant.ts';
import { runWorker } from '../drain/drain-contestant.ts';
import { countOf, withClient } from '../drain/with-client.ts';

/** The batch that `sluice outbox drain` takes by default. */
const BATCH = 2_000;

/** What the replay is held against: as many events of the same route, new, routed for the first time by its worker. */
export function drainingContestant(template: string): Contestant {
  return {
    name: 'drain',
    template,
    settings: { batch: BATCH },
    // The template holds them.
    fill: async () => undefined,
    work: (url) =>
      withClient(url, async (client) => {
        const startedAt = performance.now();
        await runWorker(client, BATCH);
        return (performance.now() - startedAt) / 1_000;
      }),
    done: async (client) =>
      Math.min(
        await countOf(
          client,
          `select count(distinct event_id) as count from iu_route_attempt where status = 'sent' and delivered`,
        ),
        await countOf(client, 'select count(*) as count from bench.effect'),
      ),
  };
}
