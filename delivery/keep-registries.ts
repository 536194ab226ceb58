import type { TargetAccess } from '../activities/dependencies.ts';
import { buildRegistry, closeRegistry, type RegistryParts } from './build-registry.ts';
import type { DeliveryRegistry } from './delivery-registry.ts';

/** The registries of one process, one for each target that was asked for. */
export interface KeptRegistries {
  of(target: Pick<TargetAccess, 'name' | 'delivery'>): Promise<DeliveryRegistry>;
  /** Lets go of every connection. */
  close(): Promise<void>;
}

export function keepRegistries(parts: RegistryParts): KeptRegistries {
  const kept = new Map<string, DeliveryRegistry>();
  return {
    async of({ name, delivery }) {
      const known = kept.get(name);
      if (known !== undefined) return known;
      const built = buildRegistry(delivery, parts);
      kept.set(name, built);
      return built;
    },
    async close() {
      const registries = [...kept.values()];
      kept.clear();
      await Promise.all(registries.map(closeRegistry));
    },
  };
}
