import { type Command, Option } from 'commander';
import { WORKER_ROLES } from '../contracts/names.ts';
import type { Lazily } from './lazily.ts';
import { changes } from './options.ts';

/** `sluice up`, `down`, `init`, `demo`, `doctor`, `status`, `worker`, `version` */
export function addStackCommands(program: Command, lazily: Lazily): void {
  program
    .command('up')
    .description('find or start Temporal and PostgreSQL, and run a worker, until Ctrl-C')
    .option('--detach', 'leave the servers running and return; without a worker')
    .option('--no-worker', 'run no worker')
    .action(lazily(async () => (await import('./up.ts')).up));
  program
    .command('down')
    .description('stop the servers of this directory; their data stays')
    .action(lazily(async () => (await import('./down.ts')).down));
  changes(program.command('init'))
    .description('install or upgrade the engine’s tables in the target, and register the search attributes')
    .action(lazily(async () => (await import('./init.ts')).init));
  program
    .command('demo')
    .description('the whole journey on real input, from an empty database to the evidence')
    .action(lazily(async () => (await import('./demo-command.ts')).demo));
  program
    .command('doctor')
    .description('what is there, which version, how it is found, and the exact fix')
    .action(lazily(async () => (await import('./doctor.ts')).doctor));
  program
    .command('status')
    .description('targets, open runs and gates at a glance')
    .action(lazily(async () => (await import('./status.ts')).status));
  program
    .command('worker')
    .description('run a worker of macros and one of deliveries until it is asked to end')
    .addOption(new Option('--only <kind>', 'only one of the two').choices(WORKER_ROLES))
    .action(lazily(async () => (await import('./worker.ts')).worker));
  program
    .command('version')
    .description('versions of this program, of its output and of the engine’s tables')
    .action(lazily(async () => (await import('./version.ts')).version));
}
