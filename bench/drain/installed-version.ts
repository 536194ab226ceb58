import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The version of a package as it is installed here. */
export function installedVersion(name: string): string {
  const path = join(import.meta.dirname, '../../node_modules', name, 'package.json');
  const read: unknown = JSON.parse(readFileSync(path, 'utf8'));
  return String(typeof read === 'object' && read !== null && Reflect.get(read, 'version'));
}
