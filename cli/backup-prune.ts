import { pruneBackups } from '../backup/prune-backups.ts';
import { findTarget } from '../config/find-target.ts';
import { EXIT, type ExitCode } from '../contracts/error-codes.ts';
import { confirm } from './ask.ts';
import { withContext } from './context.ts';
import type { ChangeOptions } from './options.ts';
import { note, printResult } from './print.ts';

type PruneOptions = ChangeOptions & { readonly keep?: number; readonly olderThan?: number };

/** `sluice backup prune [--keep N] [--older-than DAYS]` */
export function backupPrune(_: readonly string[], options: PruneOptions): Promise<ExitCode> {
  return withContext(options, async (context) => {
    const { backupDir } = findTarget(context.config);
    const keep = options.keep ?? (options.olderThan === undefined ? context.config.backup.keep : undefined);
    const limits = {
      ...(keep === undefined ? {} : { keep }),
      ...(options.olderThan === undefined ? {} : { olderThanDays: options.olderThan }),
    };
    const wouldBe = await pruneBackups(backupDir, { ...limits, dryRun: true });
    const isDry = options.dryRun === true || wouldBe.removed.length === 0;
    if (!isDry) {
      for (const { file, why } of wouldBe.removed) note(`${file}: ${why}`);
      await confirm(`Remove ${wouldBe.removed.length} backups?`, options);
    }
    const pruned = isDry ? wouldBe : await pruneBackups(backupDir, limits);
    const word = options.dryRun === true ? 'would remove' : 'removed';
    printResult(context.output, { dryRun: options.dryRun === true, ...pruned }, () =>
      [
        ...pruned.removed.map(({ file, why }) => `${word} ${file} (${why})`),
        ...pruned.kept.map(({ file, why }) => `kept ${file} (${why})`),
        ...(pruned.removed.length + pruned.kept.length === 0 ? [`no backups in ${backupDir}`] : []),
      ].join('\n'),
    );
    return EXIT.done;
  });
}
