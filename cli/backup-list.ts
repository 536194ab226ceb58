import { listBackups } from '../backup/list-backups.ts';
import { findTarget } from '../config/find-target.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { withContext } from './context.ts';
import type { GlobalOptions } from './options.ts';
import { printResult } from './print.ts';
import { textTable } from './text-table.ts';

/** `sluice backup list` */
export function backupList(_: readonly string[], options: GlobalOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { backupDir } = findTarget(context.config);
    const backups = (await listBackups(backupDir)).map(({ file, bytes, state, takenAt, receipt }) => ({
      file,
      bytes,
      state,
      takenAt,
      database: receipt?.database ?? null,
      format: receipt?.format ?? null,
      sha256: receipt?.sha256 ?? null,
      tables: receipt?.tables.length ?? null,
      restoredInto: receipt?.restoredInto ?? null,
    }));
    printResult(context.output, backups, () =>
      backups.length === 0
        ? `no backups in ${backupDir}`
        : textTable(
            ['taken', 'state', 'format', 'bytes', 'database', 'file'],
            backups.map((one) => [
              one.takenAt,
              one.state,
              one.format ?? '',
              one.bytes,
              one.database ?? '',
              one.file,
            ]),
          ),
    );
    return EXIT.done;
  });
}
