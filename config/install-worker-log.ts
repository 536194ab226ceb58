import { DefaultLogger, type LogEntry, makeTelemetryFilterString, Runtime } from '@temporalio/worker';
import { destination, type Level, pino } from 'pino';

/** Levels of the worker's log, the quietest last. */
const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type WorkerLogLevel = (typeof LEVELS)[number];

/** Level that `SLUICE_LOG` names; `warn` where it names none. */
export function workerLogLevel(env: NodeJS.ProcessEnv): WorkerLogLevel {
  return LEVELS.find((level) => level === env.SLUICE_LOG) ?? 'warn';
}

const PINO_LEVEL: Readonly<Record<LogEntry['level'], Level>> = {
  TRACE: 'trace',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
};

/**
 * Sends what the Temporal SDK logs to stderr as one JSON object a line. Once per process and before any worker
 * or native connection; stdout stays the command's.
 */
export function installWorkerLog(level: WorkerLogLevel): void {
  const log = pino({ level, base: { name: 'sluice-worker' } }, destination({ dest: 2, sync: true }));
  const core = level === 'debug' ? 'INFO' : 'ERROR';
  Runtime.install({
    logger: new DefaultLogger('TRACE', (entry) =>
      log[PINO_LEVEL[entry.level]](entry.meta ?? {}, entry.message),
    ),
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core }) } },
  });
}
