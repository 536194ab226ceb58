import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { waitFor } from '../support/wait-for.ts';

export interface RunningScript {
  readonly pid: number;
  /** Lines that it printed so far. */
  readonly lines: string[];
  /** Waits for a line; 60 seconds at most. */
  until(isWanted: (line: string) => boolean): Promise<string>;
  tell(line: string): void;
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it is gone and all that it printed was read. */
  readonly ended: Promise<void>;
}

/** Starts a script of this folder in a process of its own, which ends with this one. */
export function runScript(name: string, argument: string): RunningScript {
  const script = fileURLToPath(new URL(name, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script, argument], {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${name} could not be started`);
  child.stdin.on('error', () => undefined);
  const lines: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const endWithParent = () => child.kill('SIGKILL');
  process.once('exit', endWithParent);
  return {
    pid,
    lines,
    until: (isWanted) => waitFor(async () => lines.find(isWanted), 60_000),
    tell: (line) => child.stdin.write(`${line}\n`),
    signal: (signal) => child.kill(signal),
    ended: new Promise((resolve) =>
      child.once('close', () => {
        process.off('exit', endWithParent);
        resolve();
      }),
    ),
  };
}
