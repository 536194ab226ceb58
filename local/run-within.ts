import { spawn } from 'node:child_process';

export interface RunWithinOptions {
  readonly withinMs: number;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal;
}

/**
 * Runs a program in a process group of its own and resolves when it succeeded. At the deadline, or when
 * aborted, the whole group is ended, so that nothing it started goes on.
 * @throws Error with the last line that it printed
 */
export async function runWithin(
  program: string,
  args: readonly string[],
  options: RunWithinOptions,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = spawn(program, args, {
      env: options.env ?? process.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let printed = '';
    const keep = (chunk: Buffer) => {
      printed = (printed + chunk.toString()).slice(-4_000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    let why = '';
    const end = (reason: string) => {
      why = reason;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        child.kill('SIGKILL');
      }
    };
    const timer = setTimeout(() => end(`not done within ${options.withinMs / 1000} s`), options.withinMs);
    const onAbort = () => end('interrupted');
    options.signal?.addEventListener('abort', onAbort, { once: true });
    const settle = (error?: Error) => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', onAbort);
      if (error === undefined) resolve();
      else reject(error);
    };
    child.once('error', (error) =>
      settle('code' in error && error.code === 'ENOENT' ? new Error(`no ${program} on PATH`) : error),
    );
    child.once('close', (code, signal) => {
      const last = printed.trim().split('\n').at(-1) ?? '';
      settle(code === 0 ? undefined : new Error(`${program} ended with ${why || code || signal}: ${last}`));
    });
  });
}
