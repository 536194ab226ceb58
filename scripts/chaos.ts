import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';
import { startChaosCluster } from '../test/chaos/chaos-cluster.ts';
import { chaosFailures, chaosFigures } from '../test/chaos/chaos-failures.ts';
import { runChaos } from '../test/chaos/run-chaos.ts';

/** `npm run chaos -- cursor --events 1000000 [--seed N] [--json]`: exit 1 when a promise was broken, 2 for bad usage. */
const USAGE = 'npm run chaos -- cursor [--events 1000000] [--seed N] [--crashes N] [--json]';

const { positionals, values } = parse();
const [name] = positionals;
const events = Number(values.events);
const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
const crashes =
  values.crashes === undefined ? Math.max(1, Math.round(events / 100_000)) : Number(values.crashes);
if (name !== 'cursor' || !(events >= 1) || ![events, seed, crashes].every(Number.isSafeInteger)) usage();

const say = (line: string) => process.stderr.write(`${line}\n`);
say(`chaos cursor: seed ${seed}, ${events} events, ${crashes} kills of the postmaster`);
const cluster = await startChaosCluster();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => cluster.stop().finally(() => process.exit(130)));
}
try {
  const report = await runChaos({ cluster, seed, events, crashes, progress: say });
  const failures = chaosFailures(report);
  const outcome = failures.length === 0 ? 'pass' : 'fail';
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ outcome, failures, ...report })}\n`
      : `${chaosFigures(report)}\n${failures.map((line) => `${line}\n`).join('')}${outcome}\n`,
  );
  process.exitCode = failures.length === 0 ? 0 : 1;
} finally {
  await cluster.stop();
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        events: { type: 'string', default: '1000000' },
        seed: { type: 'string' },
        crashes: { type: 'string' },
        json: { type: 'boolean', default: false },
      },
    });
  } catch {
    usage();
  }
}

function usage(): never {
  process.stderr.write(`Expected: ${USAGE}\nNothing was started.\n`);
  process.exit(2);
}
