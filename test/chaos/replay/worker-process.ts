import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { TargetAccess } from '../../../activities/dependencies.ts';

export interface WorkerProcessOptions {
  readonly address: string;
  readonly taskQueue: string;
  readonly access: TargetAccess;
  /** Bundle of the workflows. */
  readonly bundlePath: string;
}

export interface WorkerProcess {
  /** Sends SIGKILL and waits until the process is gone. */
  kill(): Promise<void>;
  /** Asks it to shut down as SIGTERM does, and waits. */
  stop(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../../support/child-worker-main.ts', import.meta.url));

/** A worker in a process of its own, as `startChildWorker`, with a bundle that is there already. Returns once it polls. */
export async function startWorkerProcess(options: WorkerProcessOptions): Promise<WorkerProcess> {
  const settings = JSON.stringify({ namespace: 'default', ...options });
  const child = spawn(process.execPath, ['--import', 'tsx', MAIN, settings], {
    cwd: fileURLToPath(new URL('../../../', import.meta.url)),
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
  };
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'ready') return { kill: () => end('SIGKILL'), stop: () => end('SIGTERM') };
  }
  throw new Error('the worker process ended before it was ready');
}
