import path from 'node:path';
import { readReceipt } from '../backup/backup-receipt.ts';
import { databaseUrl } from '../backup/database-url.ts';
import { restoreBackup, whatARestoreLoses } from '../backup/restore-backup.ts';
import { findTarget } from '../config/find-target.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import { untilInterrupted } from './interrupt.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';

type RestoreOptions = ChangeOptions & {
  readonly into: string;
  readonly serverTarget?: string;
  readonly withoutOwners?: boolean;
};

/** `sluice backup restore FILE --into NEW`: never writes into a database that exists. */
export function backupRestore([file = '']: readonly string[], options: RestoreOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { maintenanceDatabase } = findTarget(context.config, options.serverTarget);
    const target = await context.target(options.serverTarget);
    const dump = path.resolve(context.cwd, file);
    if (options.dryRun === true) {
      const receipt = await readReceipt(dump);
      const loses = receipt === null ? null : whatARestoreLoses(receipt);
      const result = { file: dump, database: options.into, restored: false, loses };
      printResult(
        context.output,
        result,
        () =>
          `${dump} would be restored into ${options.into}\nit would not have: ${loses ?? 'unknown: no receipt'}`,
      );
      return EXIT.done;
    }
    const interrupted = untilInterrupted();
    let said = '';
    try {
      const { database, tables, remark, loses, receipt } = await restoreBackup({
        file: dump,
        serverUrl: databaseUrl(target.url, maintenanceDatabase),
        newDatabase: options.into,
        toolDirs: target.toolDirs,
        withoutOwners: options.withoutOwners === true,
        signal: interrupted.signal,
        onProgress({ phase, detail }) {
          if (phase !== said) note(`${phase}: ${detail}`);
          said = phase;
        },
      });
      const result = {
        file: dump,
        database,
        restored: true,
        tables,
        takenAt: receipt.takenAt,
        remark,
        loses,
      };
      printResult(context.output, result, () =>
        [
          `restored into ${database}: ${tables} tables, all row counts equal`,
          remark,
          `it does not have: ${loses}`,
        ]
          .filter((line) => line !== '')
          .join('\n'),
      );
      return EXIT.done;
    } finally {
      interrupted.release();
    }
  });
}
