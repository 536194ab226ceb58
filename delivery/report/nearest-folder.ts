import { lstat, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ReportFault } from './report-fault.ts';

/** Whether something has this name, a link that leads nowhere included. */
export async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error) => {
      if (Object(error).code === 'ENOENT') return false;
      throw error;
    },
  );
}

/** The folder, or the nearest above it that is there. */
export async function nearestFolder(folder: string): Promise<string> {
  if (!(await isThere(folder))) return nearestFolder(dirname(folder));
  if ((await stat(folder)).isDirectory()) return folder;
  throw new ReportFault(
    'report_unwritable',
    'Something that is no folder stands in the place of the folder.',
  );
}
