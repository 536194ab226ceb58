import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TargetAccess } from '../../activities/dependencies.ts';
import { workflowBundle } from './workflow-bundle.ts';

/** What a worker process is told; no file and no environment of the caller is needed. */
export interface ChildWorkerOptions {
  readonly address: string;
  readonly taskQueue: string;
  readonly access: TargetAccess;
  readonly namespace?: string;
}

export interface ChildWorker {
  readonly pid: number;
  /** Sends a signal: `SIGKILL` loses the process, `SIGSTOP` makes a zombie of it, `SIGCONT` wakes it. */
  signal(signal: NodeJS.Signals): void;
  /** Waits until the process is gone. */
  readonly ended: Promise<void>;
  /** Asks it to shut down as SIGTERM does, and waits. */
  stop(): Promise<void>;
}

/**
 * Starts a worker in a process of its own and waits until it polls. It ends with its parent, and on SIGTERM after
 * the grace of its running activities.
 */
export async function startChildWorker(options: ChildWorkerOptions): Promise<ChildWorker> {
  const settings = { namespace: 'default', ...options, bundlePath: (await workflowBundle()).codePath };
  const child = spawn(
    process.execPath,
    [
      '--import',
      'tsx',
      fileURLToPath(new URL('./child-worker-main.ts', import.meta.url)),
      JSON.stringify(settings),
    ],
    { cwd: fileURLToPath(new URL('../../', import.meta.url)), stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const { pid } = child;
  if (pid === undefined) throw new Error('the worker process could not be started');
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const ready = (async () => {
    for await (const line of createInterface({ input: child.stdout })) if (line === 'ready') return;
    throw new Error('the worker process ended before it was ready');
  })();
  await ready;
  const signal = (name: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) process.kill(pid, name);
  };
  return {
    pid,
    signal,
    ended,
    async stop() {
      signal('SIGCONT');
      signal('SIGTERM');
      await ended;
    },
  };
}
