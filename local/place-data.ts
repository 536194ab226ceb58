import { createHash } from 'node:crypto';
import { mkdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { mayUse } from './may-use.ts';
import type { SystemUser } from './unprivileged-user.ts';

/** Where data lies that a user other than root has to reach, when the project's own directory is closed to it. */
export const SHARED_STATE_DIR = '/var/lib/sluice';

/**
 * The directory for PostgreSQL's data of one project: inside its state directory, unless the user that
 * PostgreSQL runs as cannot enter that; then under /var/lib/sluice, one per project.
 */
export function placeData(stateDir: string, user: SystemUser | undefined): string {
  if (mayUse(stateDir, user)) return join(realpathSync(stateDir), 'postgres');
  const project = createHash('sha256').update(realpathSync(stateDir)).digest('hex').slice(0, 16);
  const dir = join(SHARED_STATE_DIR, project);
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  return join(dir, 'postgres');
}
