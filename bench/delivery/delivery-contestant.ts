import { countOf } from '../drain/with-client.ts';
import { deliver } from './deliveries.ts';
import type { PostContestant } from './post-contestant.ts';

/** This delivery, whole: claim, envelope, signature, guard, settling, attempts, breaker. Its clock starts before it connects. */
export function deliveryContestant(template: string): PostContestant {
  return {
    name: 'delivery',
    template,
    settings: {},
    // The template holds them, queued.
    fill: async () => undefined,
    work: async (url, { posts, concurrency }) => {
      const startedAt = performance.now();
      const { sent, failed, isDone } = await deliver(url, concurrency);
      const seconds = (performance.now() - startedAt) / 1_000;
      if (!isDone || sent !== posts.length) throw new Error(`delivery sent ${sent}, failed ${failed} times`);
      return seconds;
    },
    done: async (client) =>
      (await countOf(
        client,
        `select count(distinct event_id) as count from iu_route_attempt where status = 'sent' and delivered`,
      )) - (await countOf(client, 'select count(*) as count from iu_route_delivery')),
  };
}
