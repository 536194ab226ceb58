import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { execa } from 'execa';
import type { SystemUser } from '../local/unprivileged-user.ts';

/**
 * The leash: a shell that ends the program when its standard input closes, which happens when this process
 * dies, also by SIGKILL. $1 is the signal, $2 a directory to remove then (or empty), the rest the program.
 */
const LEASH = `
umask 077
sig=$1; remove=$2; shift 2
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ while read -r _; do :; done; kill -s "$sig" "$child"; exit 77; } <&3 >/dev/null 2>&1 3<&- &
watch=$!
exec 3<&-
wait "$child"; code=$?
kill "$watch" 2>/dev/null
wait "$watch" 2>/dev/null
if [ $? -eq 77 ] && [ -n "$remove" ]; then rm -rf -- "$remove"; fi
exit "$code"
`;

const KILL_AFTER_MS = 5_000;
const TAIL_LINES = 20;

export interface LeashedOptions {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly cwd?: string;
  readonly user?: SystemUser | undefined;
  /** How the program is asked to end; default SIGTERM. */
  readonly endSignal?: 'SIGTERM' | 'SIGQUIT';
  /** Removed when this process dies before the program does. */
  readonly removeOnDeath?: string;
  readonly onLine?: (line: string) => void;
}

export interface LeashedResult {
  /** Null when a signal ended it. */
  readonly exitCode: number | null;
  /** The last lines of its standard error and output. */
  readonly tail: string;
}

/**
 * Runs a program that must not outlive this process: `pg_dump` and `postgres` otherwise work on after their
 * parent was killed. An abort ends its whole process group (SIGKILL after 5 s); the promise resolves when
 * every process of it has let go of its output. Never rejects for an exit code.
 */
export async function runLeashed(options: LeashedOptions): Promise<LeashedResult> {
  const endSignal = options.endSignal ?? 'SIGTERM';
  const subprocess = execa(
    '/bin/sh',
    [
      '-c',
      LEASH,
      'sluice-leash',
      endSignal.slice(3),
      options.removeOnDeath ?? '',
      options.file,
      ...options.args,
    ],
    {
      env: options.env,
      extendEnv: false,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
      buffer: false,
      reject: false,
      detached: true,
      cleanup: false,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.user === undefined ? {} : { uid: options.user.uid, gid: options.user.gid }),
    },
  );
  const tail: string[] = [];
  for (const input of [subprocess.stdout, subprocess.stderr]) {
    createInterface({ input }).on('line', (line) => {
      tail.push(line);
      if (tail.length > TAIL_LINES) tail.shift();
      options.onLine?.(line);
    });
  }
  let running = true;
  const killGroup = (name: NodeJS.Signals) => {
    try {
      if (running && subprocess.pid !== undefined) process.kill(-subprocess.pid, name);
    } catch {
      // The group is gone already.
    }
  };
  const end = () => {
    killGroup(endSignal);
    void delay(KILL_AFTER_MS, undefined, { ref: false }).then(() => killGroup('SIGKILL'));
  };
  options.signal.addEventListener('abort', end, { once: true });
  if (options.signal.aborted) end();
  try {
    const result = await subprocess;
    return { exitCode: result.exitCode ?? null, tail: [...tail, ...notStarted(result)].join('\n') };
  } finally {
    running = false;
    options.signal.removeEventListener('abort', end);
  }
}

function notStarted(result: {
  readonly code?: string | undefined;
  readonly shortMessage?: string | undefined;
}): string[] {
  return result.code === undefined ? [] : [result.shortMessage ?? result.code];
}
