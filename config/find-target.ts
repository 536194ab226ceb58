import { SluiceError } from '../contracts/error-codes.ts';
import type { Config, TargetConfig } from './config.ts';

/**
 * The target of that name, or the default one.
 *
 * @throws SluiceError `target_not_found`, naming the targets there are
 */
export function findTarget(config: Config, name?: string): TargetConfig {
  const wanted = name ?? config.defaultTarget;
  const found =
    wanted === null || !Object.hasOwn(config.targets, wanted) ? undefined : config.targets[wanted];
  if (found !== undefined) return found;
  throw new SluiceError('target_not_found', {
    what:
      wanted === null ? 'No target is named, and none is the default.' : `There is no target \`${wanted}\`.`,
    expected: `Targets: ${Object.keys(config.targets).join(', ')}. Add one under targets: in sluice.yaml.`,
    safe: 'Nothing was changed.',
  });
}
