import { existsSync } from 'node:fs';
import path from 'node:path';

const MARKS = ['package.json', 'sluice.yaml'];

/**
 * The folder that script paths in a plan are relative to: the nearest one at or above the manifest's that holds
 * `package.json` or `sluice.yaml`, else the one two levels up (`macros/<name>/macro.yaml`).
 */
export function packageRoot(manifestPath: string): string {
  const folder = path.dirname(path.resolve(manifestPath));
  for (let at = folder; ; at = path.dirname(at)) {
    if (MARKS.some((mark) => existsSync(path.join(at, mark)))) return at;
    if (path.dirname(at) === at) return path.resolve(folder, '..', '..');
  }
}
