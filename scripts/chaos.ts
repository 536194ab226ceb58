import { randomInt } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { startChaosCluster } from '../test/chaos/chaos-cluster.ts';
import { chaosFailures, chaosFigures } from '../test/chaos/chaos-failures.ts';
import { replayFailures, replayFigures } from '../test/chaos/replay/failures.ts';
import { runReplayChaos } from '../test/chaos/replay/run-replay-chaos.ts';
import { runChaos } from '../test/chaos/run-chaos.ts';

/** `npm run chaos -- cursor|replay …`: exit 1 when a promise was broken, 2 for bad usage. */
const USAGE = [
  'npm run chaos -- cursor [--events 1000000] [--seed N] [--crashes N] [--json]',
  'npm run chaos -- replay [--letters 100000] [--kill-every 30] [--rate 500] [--seed N] [--json]',
].join('\n          ');

const { positionals, values } = parse();
const seed = values.seed === undefined ? randomInt(2 ** 31) : Number(values.seed);
const say = (line: string) => process.stderr.write(`${line}\n`);
const [name] = positionals;
if (positionals.length !== 1 || !Number.isSafeInteger(seed)) usage();
if (name === 'cursor') await cursor();
else if (name === 'replay') await replay();
else usage();

async function cursor(): Promise<void> {
  const events = Number(values.events);
  const crashes =
    values.crashes === undefined ? Math.max(1, Math.round(events / 100_000)) : Number(values.crashes);
  if (!(events >= 1) || ![events, crashes].every(Number.isSafeInteger)) usage();
  say(`chaos cursor: seed ${seed}, ${events} events, ${crashes} kills of the postmaster`);
  const cluster = await startChaosCluster();
  onSignal(() => cluster.stop());
  try {
    const report = await runChaos({ cluster, seed, events, crashes, progress: say });
    tell(chaosFailures(report), chaosFigures(report), report);
  } finally {
    await cluster.stop();
  }
}

async function replay(): Promise<void> {
  const letters = Number(values.letters);
  const killEvery = Number(values['kill-every']);
  const ratePerSecond = Number(values.rate);
  const isCount = (value: number) => Number.isSafeInteger(value) && value > 0;
  if (![letters, killEvery, ratePerSecond].every(isCount) || letters < 5) usage();
  say(`chaos replay: seed ${seed}, ${letters} letters, the worker is killed every ${killEvery} s`);
  const dir = mkdtempSync(join(tmpdir(), 'sluice-chaos-'));
  try {
    const workflowsPath = fileURLToPath(new URL('../workflows/index.ts', import.meta.url));
    const { code } = await bundleWorkflowCode({ workflowsPath, logger: new DefaultLogger('ERROR') });
    const bundlePath = join(dir, 'workflows.js');
    writeFileSync(bundlePath, code);
    const report = await runReplayChaos({
      seed,
      letters,
      bundlePath,
      ratePerSecond,
      killEveryMs: killEvery * 1_000,
      workMs: 3_000,
      sliceMs: 2_000,
      slicesPerRun: 10,
      sampleEveryMs: 1_000,
      progress: say,
      started: (stack) => onSignal(() => stack.stop()),
    });
    tell(replayFailures(report), replayFigures(report), report);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function tell(failures: readonly string[], figures: string, report: object): void {
  const outcome = failures.length === 0 ? 'pass' : 'fail';
  process.stdout.write(
    values.json
      ? `${JSON.stringify({ outcome, failures, ...report })}\n`
      : `${figures}\n${failures.map((line) => `${line}\n`).join('')}${outcome}\n`,
  );
  process.exitCode = failures.length === 0 ? 0 : 1;
}

function onSignal(end: () => Promise<void>): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => end().finally(() => process.exit(130)));
}

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        events: { type: 'string', default: '1000000' },
        crashes: { type: 'string' },
        letters: { type: 'string', default: '100000' },
        'kill-every': { type: 'string', default: '30' },
        rate: { type: 'string', default: '500' },
        seed: { type: 'string' },
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
