import path from 'node:path';
import type { Settings } from './config-schema.ts';
import { type DeliveryConfig, NO_DELIVERY } from './delivery-config.ts';
import type { DeliverySettings } from './delivery-schema.ts';
import { parseDuration } from './duration.ts';
import { canonicalCidr } from './fault-of-cidr.ts';
import { type Picked, toSecretRef, toUrlRef } from './picked-setting.ts';
import type { SecretSetting } from './setting-parts.ts';
import type { SettingsLayer } from './settings-layer.ts';

/** Takes a value from the first layer that has it, and keeps its origin. */
type Pick = <T>(key: readonly string[], get: (settings: Settings) => T | undefined) => Picked<T> | null;

/**
 * `targets.<name>.delivery` of all layers, value by value and secrets by name; a kind of target comes whole from the
 * first layer that has it.
 */
export function mergeDelivery(name: string, layers: readonly SettingsLayer[], pick: Pick): DeliveryConfig {
  const of = ({ targets }: Settings): DeliverySettings | undefined => targets?.[name]?.delivery;
  const take = <K extends keyof DeliverySettings>(key: K) =>
    pick<NonNullable<DeliverySettings[K]>>(
      ['targets', name, 'delivery', key],
      (settings) => of(settings)?.[key] ?? undefined,
    );
  return {
    concurrency: take('concurrency')?.value ?? NO_DELIVERY.concurrency,
    leaseMs: parseDuration(take('lease')?.value ?? '') ?? NO_DELIVERY.leaseMs,
    allowCidrs: (take('allow_cidrs')?.value ?? []).map(canonicalCidr),
    secrets: mergeSecrets(name, layers, pick),
    externalEndpoint: take('external_endpoint')?.value ?? null,
    directusFlow: directusOf(take('directus_flow')),
    workflow: take('workflow')?.value ?? null,
    report: reportOf(take('report')),
    vector: vectorOf(take('vector')),
  };
}

function mergeSecrets(name: string, layers: readonly SettingsLayer[], pick: Pick): DeliveryConfig['secrets'] {
  const of = ({ targets }: Settings) => targets?.[name]?.delivery?.secrets ?? {};
  const names = new Set(layers.flatMap(({ settings }) => Object.keys(of(settings))));
  return Object.fromEntries(
    [...names].flatMap((secret) => {
      const picked = pick(['targets', name, 'delivery', 'secrets', secret], (settings) =>
        Object.hasOwn(of(settings), secret) ? of(settings)[secret] : undefined,
      );
      return picked === null ? [] : [[secret, toSecretRef(picked)]];
    }),
  );
}

function directusOf(
  picked: Picked<NonNullable<DeliverySettings['directus_flow']>> | null,
): DeliveryConfig['directusFlow'] {
  if (picked === null) return null;
  const { base_url, token } = picked.value;
  return { baseUrl: base_url.replace(/\/+$/, ''), token: optionalSecret(token, picked.from) };
}

function reportOf(picked: Picked<NonNullable<DeliverySettings['report']>> | null): DeliveryConfig['report'] {
  return picked === null ? null : { dir: path.resolve(picked.from.folder, picked.value.dir) };
}

function vectorOf(picked: Picked<NonNullable<DeliverySettings['vector']>> | null): DeliveryConfig['vector'] {
  if (picked === null) return null;
  const { value, from } = picked;
  const { url, model, dimensions, api_key } = value.embedding;
  return {
    url: toUrlRef({ value: value.url, from }),
    embedding: { url, model, dimensions, apiKey: optionalSecret(api_key, from) },
  };
}

function optionalSecret(value: SecretSetting | undefined, from: SettingsLayer) {
  return value === undefined ? null : toSecretRef({ value, from });
}
