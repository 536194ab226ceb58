import type { Command } from 'commander';
import type { Lazily } from './lazily.ts';
import { changes, countFromZero } from './options.ts';

/** `sluice backup …` */
export function addBackupCommands(program: Command, lazily: Lazily): void {
  const backup = program.command('backup').description('the backups that macros take: list, restore, prune');
  backup
    .command('list')
    .description('the backups of the target, the newest first')
    .action(lazily(async () => (await import('./backup-list.ts')).backupList));
  changes(backup.command('restore'))
    .description('restore a backup into a new database and compare every row count')
    .argument('<file>', 'the dump; its receipt lies beside it')
    .requiredOption('--into <database>', 'name of a database that does not exist yet')
    .option('--server-target <name>', 'restore on the server of another target')
    .option('--without-owners', 'everything belongs to the restoring role, nothing is granted')
    .action(lazily(async () => (await import('./backup-restore.ts')).backupRestore));
  changes(backup.command('prune'))
    .description('remove old backups; the newest good one always stays')
    .option(
      '--keep <count>',
      'so many stay, however old (backup.keep when neither limit is given)',
      countFromZero,
    )
    .option('--older-than <days>', 'only what is older than so many days', countFromZero)
    .action(lazily(async () => (await import('./backup-prune.ts')).backupPrune));
}
