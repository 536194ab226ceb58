import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { DeliveryConfig } from '../../../config/delivery-config.ts';
import type { Pumped } from '../../../delivery/pump/pump-deliveries.ts';
import { LOCAL_DELIVERY } from '../../delivery-activity/support/deliveries.ts';
import { SIGNING_SECRET } from './ledger.ts';

/** What a process is to deliver. */
export interface PumpTask {
  readonly url: string;
  readonly delivery: DeliveryConfig;
  readonly worker: string;
  /** 0: until nothing is due. Otherwise for so many milliseconds. */
  readonly forMs: number;
}

/** How it ended, where nobody killed it. */
export interface PumpEnd {
  readonly counts: Pumped;
  /** The most memory that it had, above what it had before it delivered, in bytes. */
  readonly rssGrownBy: number;
}

/** A worker's delivering half in a process of its own. It ends with this process. */
export interface PumpProcess {
  readonly pid: number;
  deliver(task: PumpTask): void;
  /** `SIGKILL` loses it, `SIGSTOP` makes a zombie of it, `SIGCONT` wakes it, `SIGTERM` asks it to end. */
  signal(signal: NodeJS.Signals): void;
  /** Resolves when it is gone: null where it was killed. Rejects where it failed. */
  readonly ended: Promise<PumpEnd | null>;
}

/** Routes sign with the secret `faults`. */
export const SIGNED = { signing_secrets: ['faults'] };
export const SIGNED_DELIVERY: DeliveryConfig = {
  ...LOCAL_DELIVERY,
  secrets: { faults: { kind: 'env', name: 'FAULTS_SECRET' } },
};
export const SIGNED_ENV = { FAULTS_SECRET: SIGNING_SECRET };

/** Starts one that waits for what it is to deliver. */
export async function startPump(): Promise<PumpProcess> {
  const script = fileURLToPath(new URL('./pump-process-main.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', script], {
    cwd: fileURLToPath(new URL('../../../', import.meta.url)),
    env: { ...process.env, ...SIGNED_ENV },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error('the process could not be started');
  child.stdin.on('error', () => undefined);
  const lines: string[] = [];
  const ended = new Promise<PumpEnd | null>((resolve, reject) => {
    child.once('close', (code, signal) => {
      const last = lines.at(-1) ?? '';
      if (signal !== null) resolve(null);
      else if (code === 0) resolve(JSON.parse(last) as PumpEnd);
      else reject(new Error(`the delivering process ended with ${code}`));
    });
  });
  ended.catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      lines.push(line);
      if (line === 'ready') resolve();
    });
    ended.then(() => reject(new Error('the process ended before it was ready')), reject);
  });
  return {
    pid,
    deliver: (task) => void child.stdin.write(`${JSON.stringify(task)}\n`),
    signal: (name) => void child.kill(name),
    ended,
  };
}
