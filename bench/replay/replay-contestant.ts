import { median } from '../benchmark.ts';
import type { PostContestant } from '../delivery/post-contestant.ts';
import type { Contestant } from '../drain/contestant.ts';
import { countOf, withClient } from '../drain/with-client.ts';
import { ROUTES } from './install-replay.ts';
import { type ReplayLettersOptions, replayLetters } from './replay-letters.ts';

/** Letters that are resolved by an attempt 2 that was delivered, as long as each has been tried exactly twice. */
const RESOLVED = `
  select count(*) as count
  from iu_route_dead_letter as letter
  where letter.state = 'resolved'
    and letter.replay_count = 1
    and (
      select array_agg(attempt_no || ' ' || status order by attempt_no)
      from iu_route_attempt
      where iu_route_attempt.idempotency_key = letter.idempotency_key
    ) = array['1 failed', '2 sent']`;

/** This replay of letters whose function was mended: opening, every batch, closing. */
export function replayContestant(template: string, batch: number): Contestant {
  const replay = replayer(batch);
  return {
    name: 'replay',
    template,
    get settings() {
      return replay.settings();
    },
    // The template holds them.
    fill: async () => undefined,
    work: (url) => replay.run(url, ROUTES.sql, 1),
    done: async (client) =>
      Math.min(
        await countOf(client, RESOLVED),
        await countOf(client, 'select count(*) as count from bench.effect'),
      ),
  };
}

/** This replay of letters whose endpoint answers now, with the deliveries beside it. */
export function replayPostContestant(template: string, batch: number): PostContestant {
  const replay = replayer(batch);
  return {
    name: 'replay',
    template,
    get settings() {
      return replay.settings();
    },
    fill: async () => undefined,
    work: (url, { concurrency }) => replay.run(url, ROUTES.http, concurrency),
    done: async (client) =>
      (await countOf(client, RESOLVED)) -
      (await countOf(client, 'select count(*) as count from iu_route_delivery')),
  };
}

/** Replays, and remembers what making the plans took, which is done once and before. */
function replayer(batch: number) {
  const planMicros: number[] = [];
  return {
    /** `planMicros`: median for each letter. */
    settings: () => ({ batch, planMicros: Math.round(median(planMicros)) }),
    /** @returns the seconds from the opening of the plan to its closing */
    async run(url: string, route: ReplayLettersOptions['route'], concurrency: number): Promise<number> {
      const { progress, planSeconds, runSeconds } = await withClient(url, (client) =>
        replayLetters(client, { url, route, batch, concurrency }),
      );
      planMicros.push((planSeconds * 1_000_000) / progress.letters);
      return runSeconds;
    },
  };
}
