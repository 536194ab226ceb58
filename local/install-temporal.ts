import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findTemporal, type TemporalSearch, temporalServerVersion } from './find-temporal.ts';
import type { ObtainTemporalOptions } from './obtain-temporal.ts';
import { runWithin } from './run-within.ts';
import { cacheDir, TEMPORAL_CLI_VERSION, temporalCachePath } from './temporal-cache.ts';
import { withLock } from './with-lock.ts';

const DOWNLOAD_HOST = 'https://temporal.download/';
const REACHABLE_WITHIN_MS = 4_000;
const DOWNLOAD_WITHIN_MS = 180_000;
const BUILD_WITHIN_MS = 20 * 60_000;

/**
 * Puts the Temporal CLI into the user's cache: the SDK's download, else `go install`. Complete or absent: it
 * is renamed into place when it was seen to work. Of two installers at once the second waits for the first.
 * `SLUICE_TEMPORAL_DOWNLOAD=off` and `SLUICE_TEMPORAL_GO=off` switch either off.
 */
export async function installTemporal(
  options: ObtainTemporalOptions & { readonly env: NodeJS.ProcessEnv },
): Promise<TemporalSearch> {
  const target = temporalCachePath(options.env);
  await mkdir(dirname(target), { recursive: true });
  return await withLock(
    `${target}.lock`,
    { ...options, waitingFor: 'another process that installs Temporal' },
    async () => {
      const meanwhile = await findTemporal(options.env);
      if (meanwhile.found !== undefined) return meanwhile;
      await removeAbandoned(target);
      const tried: string[] = [];
      const rungs = [
        { rung: 'download', attempt: download },
        { rung: 'go', attempt: build },
      ] as const;
      for (const { rung, attempt } of rungs) {
        const dir = await mkdtemp(`${target}.new-`);
        try {
          const path = await attempt(dir, options);
          await chmod(path, 0o755);
          const serverVersion = await temporalServerVersion(path);
          if (serverVersion === undefined) throw new Error('what arrived does not work');
          await rename(path, target);
          return { found: { rung, path: target, serverVersion }, tried };
        } catch (error) {
          options.signal?.throwIfAborted();
          tried.push(`${rung}: ${error instanceof Error ? error.message : error}`);
        } finally {
          await rm(dir, { recursive: true, force: true });
        }
      }
      return { found: undefined, tried };
    },
  );
}

/** What an installer left that was killed; the caller holds the lock, so none is at work. */
async function removeAbandoned(target: string): Promise<void> {
  for (const name of await readdir(dirname(target))) {
    const path = join(dirname(target), name);
    if (path.startsWith(`${target}.new-`)) await rm(path, { recursive: true, force: true });
  }
}

type Attempt = (
  dir: string,
  options: ObtainTemporalOptions & { readonly env: NodeJS.ProcessEnv },
) => Promise<string>;

const download: Attempt = async (dir, options) => {
  if (options.env.SLUICE_TEMPORAL_DOWNLOAD === 'off')
    throw new Error('switched off by SLUICE_TEMPORAL_DOWNLOAD=off');
  await fetch(DOWNLOAD_HOST, { method: 'HEAD', signal: AbortSignal.timeout(REACHABLE_WITHIN_MS) }).catch(
    () => {
      throw new Error(`${DOWNLOAD_HOST} is not reachable from here`);
    },
  );
  options.progress?.('downloading the Temporal CLI');
  const script = fileURLToPath(new URL('./download-temporal.mjs', import.meta.url));
  await runWithin(process.execPath, [script, dir, TEMPORAL_CLI_VERSION], {
    ...options,
    withinMs: DOWNLOAD_WITHIN_MS,
  });
  const file = (await readdir(dir)).find((name) => name.startsWith('temporal'));
  if (file === undefined) throw new Error('the SDK left no file');
  return join(dir, file);
};

const build: Attempt = async (dir, options) => {
  if (options.env.SLUICE_TEMPORAL_GO === 'off') throw new Error('switched off by SLUICE_TEMPORAL_GO=off');
  const cache = cacheDir(options.env);
  const homeless = { GOPATH: join(cache, 'go'), GOCACHE: join(cache, 'go-build'), GOFLAGS: '-modcacherw' };
  const env = { ...options.env, ...(options.env.HOME ? {} : homeless), GOBIN: dir };
  options.progress?.('building the Temporal CLI with Go (about 3 minutes, once)');
  const started = Date.now();
  const ticker = setInterval(() => {
    options.progress?.(
      `still building the Temporal CLI with Go (${Math.round((Date.now() - started) / 1000)} s)`,
    );
  }, 20_000);
  try {
    await runWithin('go', ['install', `github.com/temporalio/cli/cmd/temporal@v${TEMPORAL_CLI_VERSION}`], {
      ...options,
      env,
      withinMs: BUILD_WITHIN_MS,
    });
  } finally {
    clearInterval(ticker);
  }
  return join(dir, 'temporal');
};
