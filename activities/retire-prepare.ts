import type { ActivityDependencies } from './dependencies.ts';
import { inRetention } from './in-retention.ts';

/** Creates the partitions that will be needed; where they exist, nothing happens. */
export function retirePrepare(dependencies: ActivityDependencies) {
  return ({
    target,
    lockTimeoutMs,
  }: {
    target: string;
    lockTimeoutMs: number;
  }): Promise<{ created: readonly string[] }> =>
    inRetention(dependencies, target, { mode: 'read write', lockTimeoutMs }, (ask) =>
      ask<{ created: readonly string[] }>('fn_iu_retention_prepare()', []),
    );
}
