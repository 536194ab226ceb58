import type { Command } from 'commander';
import type { Lazily } from './lazily.ts';
import { changes, collect } from './options.ts';

/** `sluice iu …` */
export function addIuCommands(program: Command, lazily: Lazily): void {
  const iu = program.command('iu').description('information units');
  changes(iu.command('import'))
    .description('turn a folder of Markdown into units, and what changed since into new versions')
    .argument('<dir>', 'the folder')
    .option('--prefix <name>', 'first part of every address; the folder’s name when absent')
    .option('--exclude <path>', 'leave out a file or folder below it; may be repeated', collect)
    .option('--commit <id>', 'recorded as the source of every version')
    .action(lazily(async () => (await import('./iu-import.ts')).iuImport));
}
