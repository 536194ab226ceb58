import { statfs } from 'node:fs/promises';
import { SluiceError } from '../contracts/error-codes.ts';

/**
 * @param neededBytes what must be free in `dir` before anything is written
 * @throws {SluiceError} `backup_disk_full`
 */
export async function checkDiskSpace(dir: string, neededBytes: number, purpose: string): Promise<void> {
  const { bavail, bsize } = await statfs(dir);
  const free = bavail * bsize;
  if (free >= neededBytes) return;
  throw new SluiceError('backup_disk_full', {
    what: `${dir} has ${mebibytes(free)} free.`,
    expected: `${purpose} needs up to ${mebibytes(neededBytes)}.`,
    safe: 'Nothing was written; free space there, prune old backups, or name another directory.',
  });
}

/** Whether a program's last words say that the disk (or its quota, or a size limit) was full. */
export function saysDiskFull(text: string): boolean {
  return /No space left on device|Disk quota exceeded|File too large|ENOSPC|EDQUOT|EFBIG/.test(text);
}

export function diskFullError(dir: string, purpose: string, cause?: unknown): SluiceError {
  return new SluiceError(
    'backup_disk_full',
    {
      what: `The disk of ${dir} became full: ${purpose}.`,
      expected: 'Room for the whole of it.',
      safe: 'What was written of it is removed; free space there, prune old backups, or name another directory.',
    },
    { cause },
  );
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1_048_576).toLocaleString('en')} MiB`;
}
