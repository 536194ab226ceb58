import { spawnSync } from 'node:child_process';
import type { SystemUser } from './unprivileged-user.ts';

/** Whether that user may pass through the directory, or run the program; asked of the kernel, as that user. */
export function mayUse(path: string, user: SystemUser | undefined): boolean {
  if (user === undefined) return true;
  const asked = spawnSync('/bin/sh', ['-c', 'test -x "$1"', 'sh', path], {
    cwd: '/',
    uid: user.uid,
    gid: user.gid,
    stdio: 'ignore',
  });
  return asked.status === 0;
}
