import type { ConnectionOptions } from '@temporalio/client';

export interface ConfiguredTemporal {
  readonly address: string;
  readonly namespace: string;
  readonly uiUrl: string | null;
  readonly connectionOptions: ConnectionOptions;
}

/**
 * The Temporal server that the environment or the profile names (`TEMPORAL_ADDRESS`, `TEMPORAL_PROFILE`, the
 * configuration file of the Temporal CLI); `undefined` when none does. The UI's address is `TEMPORAL_UI_URL`.
 * @throws the reader's error when the profile cannot be read
 */
export async function configuredTemporal(
  env: NodeJS.ProcessEnv = process.env,
): Promise<ConfiguredTemporal | undefined> {
  const { loadClientConnectConfig } = await import('@temporalio/envconfig');
  const given = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  const { connectionOptions, namespace } = loadClientConnectConfig({
    ...(env.TEMPORAL_PROFILE ? { profile: env.TEMPORAL_PROFILE } : {}),
    overrideEnvVars: Object.fromEntries(given),
  });
  const { address, apiKey, tls, metadata } = connectionOptions;
  if (address === undefined || address === '') return undefined;
  return {
    address,
    namespace: namespace ?? 'default',
    uiUrl: env.TEMPORAL_UI_URL ?? null,
    connectionOptions: {
      address,
      ...(apiKey === undefined ? {} : { apiKey }),
      ...(tls === undefined ? {} : { tls }),
      ...(metadata === undefined ? {} : { metadata }),
    },
  };
}
