import { join } from 'node:path';
import { SluiceError } from '../contracts/error-codes.ts';
import { SEARCH_ATTRIBUTES } from '../contracts/names.ts';
import { type ConfiguredTemporal, configuredTemporal } from './configured-temporal.ts';
import { obtainTemporal } from './obtain-temporal.ts';
import { commandLine, isRunning } from './process-identity.ts';
import { rotateLog } from './rotate-log.ts';
import type { StackOptions, TemporalServer } from './stack.ts';
import { startDevServer, stopDevServer } from './start-dev-server.ts';
import { readState, updateState } from './state-file.ts';
import { askTemporal, registerSearchAttributes } from './temporal-ready.ts';

type Options = StackOptions & { readonly env: NodeJS.ProcessEnv; readonly stateDir: string };

/** The configured Temporal, else the one that this directory runs, else a new one on this directory's data. */
export async function attachOrStartTemporal(options: Options): Promise<TemporalServer> {
  const configured = await configuredTemporal(options.env).catch((cause: unknown) => {
    throw unreadable(cause);
  });
  if (configured !== undefined) return await useConfigured(configured);
  const known = readState(options.stateDir).temporal;
  if (known?.process !== undefined && isRunning(known.process)) {
    try {
      await registerSearchAttributes({ connectionOptions: { address: known.address }, namespace: 'default' });
      const { serverVersion } = await askTemporal({
        connectionOptions: { address: known.address },
        namespace: 'default',
      });
      return own({ ...known, process: known.process }, serverVersion, false);
    } catch (error) {
      options.progress?.(
        `the Temporal server of this directory does not answer and is started again (${error})`,
      );
      if (commandLine(known.process.pid).includes('start-dev')) await stopDevServer(known.process);
    }
  }
  const program = await obtainTemporal(options);
  const logFile = rotateLog(join(options.stateDir, 'logs', 'temporal.log'));
  const server = await startDevServer({
    program,
    dbFile: join(options.stateDir, 'temporal.db'),
    logFile,
    wantedPort: portOf(known?.address) ?? 7233,
    wantedUiPort: portOf(known?.uiUrl) ?? 8233,
    ...(options.signal && { signal: options.signal }),
    onSpawn: (spawned) => updateState(options.stateDir, { temporal: { ...spawned, rung: program.rung } }),
  });
  return own({ ...server, rung: program.rung }, program.serverVersion, true);
}

type Own = Pick<TemporalServer, 'address' | 'rung'> & {
  readonly uiUrl: string;
  readonly process: NonNullable<TemporalServer['process']>;
};

function own(server: Own, version: string, started: boolean): TemporalServer {
  const { address, uiUrl, rung, process } = server;
  const connectionOptions = { address };
  return {
    address,
    namespace: 'default',
    uiUrl,
    version,
    rung,
    process,
    pid: process.pid,
    connectionOptions,
    started,
  };
}

async function useConfigured(server: ConfiguredTemporal): Promise<TemporalServer> {
  const { serverVersion, missing } = await askTemporal(server).catch((cause: unknown) => {
    throw new SluiceError(
      'temporal_unreachable',
      {
        what: `Temporal at ${server.address}, namespace ${server.namespace}, does not answer: ${cause instanceof Error ? cause.message : cause}`,
        expected: 'It is named by TEMPORAL_ADDRESS or by a profile, so no other one is used in its place.',
        safe: 'Nothing was started; correct the address, or unset it to use a server of this directory.',
      },
      { cause },
    );
  });
  if (missing.length > 0) {
    await registerSearchAttributes(server).catch((cause: unknown) => {
      throw new SluiceError(
        'temporal_not_ready',
        {
          what: `Temporal at ${server.address} lacks the search attributes ${missing.join(', ')}, and they could not be registered: ${cause instanceof Error ? cause.message : cause}`,
          expected: `Once, by an administrator: ${searchAttributeCommand(server.namespace)}`,
          safe: 'Nothing was started; run it and try again.',
        },
        { cause },
      );
    });
  }
  const { address, namespace, uiUrl, connectionOptions } = server;
  return {
    ...{ address, namespace, uiUrl, connectionOptions, version: serverVersion },
    ...{ rung: 'configured', pid: null, process: null, started: false },
  };
}

/** The command that registers the search attributes with the Temporal CLI. */
export function searchAttributeCommand(namespace: string): string {
  const names = SEARCH_ATTRIBUTES.map((name) => `--name ${name}`).join(' ');
  return `temporal operator search-attribute create --namespace ${namespace} --type Keyword ${names}`;
}

function unreadable(cause: unknown): SluiceError {
  return new SluiceError(
    'configuration_invalid',
    {
      what: `The Temporal profile cannot be read: ${cause instanceof Error ? cause.message : cause}`,
      expected: 'TEMPORAL_PROFILE and TEMPORAL_CONFIG_FILE name a profile that exists.',
      safe: 'Nothing was started.',
    },
    { cause },
  );
}

function portOf(address: string | undefined): number | undefined {
  const port = Number(address?.split(':').at(-1));
  return Number.isInteger(port) && port > 0 ? port : undefined;
}
