import type { PostContestant } from './post-contestant.ts';
import { signed, signedPoster } from './signed-poster.ts';

/** The limit that the queues are held against: the HTTP client, with bodies and signatures that are ready beforehand. */
export function bareContestant(): PostContestant {
  let posted = 0;
  return {
    name: 'bare',
    template: null,
    settings: {},
    fill: async () => {
      posted = 0;
    },
    work: async (_url, { posts, url, concurrency }) => {
      const ready = posts.map(({ key, body }) => signed(key, Buffer.from(body, 'utf8')));
      const poster = signedPoster(url, concurrency);
      const left = ready.values();
      const startedAt = performance.now();
      await Promise.all(
        Array.from({ length: concurrency }, async () => {
          for (const post of left) {
            await poster.post(post);
            posted += 1;
          }
        }),
      );
      const seconds = (performance.now() - startedAt) / 1_000;
      await poster.close();
      return seconds;
    },
    done: async () => posted,
  };
}
