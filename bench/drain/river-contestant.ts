import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { Contestant } from './contestant.ts';
import { payloadBatches } from './payloads.ts';
import { countOf } from './with-client.ts';

const ROOT = join(import.meta.dirname, '../..');
const SOURCE = join(ROOT, 'bench/river');
const PROGRAM = join(ROOT, '.sluice/bench/river');

/** As River's own benchmark command configures itself; the numbers are those of bench/river/main.go. */
const TUNED = { maxWorkers: 2_000, fetchCooldownMs: 2, fetchPollIntervalMs: 20, poolSize: 10 };

/**
 * River, built from bench/river. A job is counted when its completer, which writes in batches, has written it.
 * @throws Error with the reason where it cannot be built, for instance because Go is not there
 */
export async function riverContestant(): Promise<Contestant> {
  const go = async (...args: string[]) => (await execa('go', args, { cwd: SOURCE })).stdout.trim();
  const goVersion = await go('env', 'GOVERSION');
  await mkdir(join(PROGRAM, '..'), { recursive: true });
  await go('build', '-o', PROGRAM, '.');
  const version = await go('list', '-m', '-f', '{{.Version}}', 'github.com/riverqueue/river');
  const river = async (url: string, args: readonly string[], input = '') => {
    const env = { DATABASE_URL: `${url}?pool_max_conns=${TUNED.poolSize}` };
    return (await execa(PROGRAM, args, { env, input })).stdout;
  };
  return {
    name: 'river',
    settings: { version, go: goVersion, ...TUNED },
    fill: async (url, events) => {
      await river(url, ['fill'], [...payloadBatches(events, 10_000)].flat().join('\n'));
    },
    work: async (url, events) => {
      const printed: unknown = JSON.parse(await river(url, ['work', String(events)]));
      const seconds = typeof printed === 'object' && printed !== null && Reflect.get(printed, 'seconds');
      if (typeof seconds !== 'number') throw new Error(`river printed ${JSON.stringify(printed)}`);
      return seconds;
    },
    done: (client) => countOf(client, `select count(*) as count from river_job where state = 'completed'`),
  };
}
