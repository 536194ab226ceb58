import { execFileSync } from 'node:child_process';
import { SluiceError } from '../contracts/error-codes.ts';

/** The operating system's user that PostgreSQL runs as. */
export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * PostgreSQL refuses to run as root. As root this names the user it runs as instead: `postgres` if it
 * exists, else `sluice`, which is created without a home and without a shell. Otherwise `undefined`: the
 * caller's own user will do.
 * @throws {SluiceError} `usage` when there is no such user and none can be created
 */
export function unprivilegedUser(): SystemUser | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const found = lookUp('postgres') ?? lookUp('sluice');
  if (found !== undefined) return found;
  const tried = ['useradd --system --no-create-home --shell /bin/false sluice', 'adduser -S -D -H sluice'];
  for (const command of tried) {
    const [program = '', ...args] = command.split(' ');
    try {
      execFileSync(program, args, { stdio: 'ignore' });
    } catch {
      continue;
    }
    const created = lookUp('sluice');
    if (created !== undefined) return created;
  }
  throw new SluiceError('usage', {
    what: 'PostgreSQL refuses to run as root and there is no user `postgres` or `sluice` to run it as.',
    expected: `One could not be created either (tried: ${tried.join('; ')}).`,
    safe: 'Nothing was started; create a user `postgres`, or run this as a normal user.',
  });
}

function lookUp(name: string): SystemUser | undefined {
  try {
    const [uid, gid] = ['-u', '-g'].map((flag) =>
      Number(execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] })),
    );
    return uid !== undefined && gid !== undefined && uid > 0 ? { name, uid, gid } : undefined;
  } catch {
    return undefined;
  }
}
